"""An S3 service: SeaweedFS, with identities that may be given few rights."""
