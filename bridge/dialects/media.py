"""Images and audio in a request: base64 that a node takes in `images`."""

from __future__ import annotations

import binascii

from bridge.dialects.inner import BadRequest

_DATA_URIS = tuple(
    f"data:{kind};base64," for kind in ("", "image/jpeg", "image/jpg", "image/png", "image/webp")
)
_NO_URLS = (
    "image URLs are not supported: the bridge fetches nothing on a client's behalf; "
    "send the image itself as data:image/png;base64,..."
)


def base64(data: str, where: str) -> str:
    """The data without line ends, which a node skips. Raises BadRequest when it is no base64 or nothing."""
    if "\n" in data or "\r" in data:
        data = data.replace("\n", "").replace("\r", "")
    try:
        if binascii.a2b_base64(data.encode("ascii"), strict_mode=True):
            return data
    except (UnicodeEncodeError, binascii.Error):
        pass
    raise BadRequest(f"{where} must be base64 data", param=where)


def from_data_uri(url: str, where: str) -> str:
    """The base64 inside data:image/(jpeg|jpg|png|webp);base64,... or data:;base64,..."""
    if url.startswith(("http://", "https://")):
        raise BadRequest(_NO_URLS, param=where, code="image_url_not_supported")
    for prefix in _DATA_URIS:
        if url.startswith(prefix):
            return base64(url[len(prefix) :], where)
    raise BadRequest(
        f"{where} must be a data URI with a jpeg, png or webp image: data:image/png;base64,...", param=where
    )


def capability(data: str) -> str:
    """What a model needs to take this base64: "audio" for WAV and MP3, else "vision"."""
    try:
        head = binascii.a2b_base64(data[:16].encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return "vision"
    wav = head.startswith(b"RIFF") and head[8:12] == b"WAVE"
    mp3 = head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"))
    return "audio" if wav or mp3 else "vision"
