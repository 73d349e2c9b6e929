"""JSON web tokens, signed and verified with RS256, and the documents by which others verify them."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.apiserver.objects import JsonObject


class TokenError(Exception):
    """A token that must not be accepted; says why."""


def new_private_key() -> rsa.RSAPrivateKey:
    """A fresh key of 2048 bits, the smallest that RS256 verifiers take."""
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key of a cluster's tokens."""

    private: rsa.RSAPrivateKey

    def sign(self, claims: JsonObject) -> str:
        """The signed token of these claims."""
        header = {"alg": "RS256", "kid": self.key_id}
        signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}"

    def claims(self, token: str) -> JsonObject:
        """What a token says, if this key signed it; TokenError otherwise."""
        try:
            header, payload, signature = token.split(".")
            if json.loads(_decode(header)).get("alg") != "RS256":
                raise TokenError("the token is not signed with RS256")
            signed = f"{header}.{payload}".encode()
            self.private.public_key().verify(_decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_decode(payload))
        except (ValueError, binascii.Error, AttributeError) as error:
            raise TokenError("the token is no JSON web token") from error
        except InvalidSignature as error:
            raise TokenError("the token is signed by another key") from error
        assert isinstance(claims, dict)
        return claims

    @property
    def key_id(self) -> str:
        """The name of the key in the key set: a digest of its public half."""
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _encode(hashlib.sha256(der).digest())

    def key_set(self) -> JsonObject:
        """The document of /openid/v1/jwks."""
        numbers = self.private.public_key().public_numbers()
        key = {"use": "sig", "kty": "RSA", "kid": self.key_id, "alg": "RS256"}
        return {"keys": [{**key, "n": _encode_number(numbers.n), "e": _encode_number(numbers.e)}]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encode_number(number: int) -> str:
    return _encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))
