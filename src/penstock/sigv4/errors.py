"""Why a request's signature is refused: S3's error codes with their HTTP status, ready for an XML error body.

The messages name no secret, no expected signature and no canonical request, so they can be sent and logged as they are.
"""

from __future__ import annotations


class SignatureError(Exception):
    """A request that is not let in. `code` and `status` are S3's (S3 API, Error responses)."""

    code = "AccessDenied"
    status = 403

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class AccessDenied(SignatureError):
    """Well formed, but not permitted: unsigned, expired, not yet valid, or with headers left out of the signature."""


class InvalidAccessKeyId(SignatureError):
    """No such access key."""

    code = "InvalidAccessKeyId"


class SignatureDoesNotMatch(SignatureError):
    """The signature is not the one that the secret key gives for this request."""

    code = "SignatureDoesNotMatch"


class RequestTimeTooSkewed(SignatureError):
    """The signing time is too far from the server's."""

    code = "RequestTimeTooSkewed"


class AuthorizationHeaderMalformed(SignatureError):
    """An Authorization header that is not of the SigV4 form, or that is for another date, region or service."""

    code = "AuthorizationHeaderMalformed"
    status = 400


class AuthorizationQueryParametersError(SignatureError):
    """Signed query parameters that are missing, repeated, ill-formed, or for another date, region or service."""

    code = "AuthorizationQueryParametersError"
    status = 400


class MissingSecurityHeader(SignatureError):
    """A header that every header-signed request must carry is not there."""

    code = "MissingSecurityHeader"
    status = 400


class InvalidRequest(SignatureError):
    """A signing mechanism that is not supported."""

    code = "InvalidRequest"
    status = 400


class InvalidArgument(SignatureError):
    """A header, parameter or form field with a value that S3 does not define."""

    code = "InvalidArgument"
    status = 400


class InvalidToken(SignatureError):
    """A session token: there are no temporary credentials here."""

    code = "InvalidToken"
    status = 400


class InvalidURI(SignatureError):
    """A request target that is not a percent-encoded UTF-8 path and query."""

    code = "InvalidURI"
    status = 400


class InvalidPolicyDocument(SignatureError):
    """A form's policy that is not what S3 defines."""

    code = "InvalidPolicyDocument"
    status = 400
