"""What every object store of the sandbox offers: an endpoint, an administrator, buckets."""

from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.session import Session

from sandbox.objectstore.identities import Credentials

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Service:
    """A running S3 service."""

    def __init__(self, endpoint_url: str, admin: Credentials) -> None:
        self.endpoint_url = endpoint_url
        self.admin = admin

    def create_bucket(self, name: str) -> None:
        """Create a bucket; one that exists is left as it is."""
        s3 = self.client(self.admin)
        if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=name)

    def client(self, credentials: Credentials) -> "S3Client":
        """A botocore client of this service."""
        client = Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1, "mode": "standard"}),
        )
        return cast("S3Client", client)
