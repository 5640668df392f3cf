"""Pages of a list in S3, read here: botocore takes a tenth of a second for the dates on each."""

from typing import Any

from cic.system.typing import Json

EVENT = "before-parse.s3.ListObjectsV2"  # an older botocore does not send it, and reads them itself


def read_here(system: Any) -> None:
    """Let an s3fs file system leave the entries of its pages to `read`."""
    system.s3.meta.events.register(EVENT, read, unique_id="cic-pages")


def read(
    response_dict: dict[str, Json], customized_response_dict: dict[str, Json], **_: Any
) -> None:
    """Take the entries out of a page, and give them as botocore does, but with dates as text.

    The rest, and what is no page, is left to botocore.
    """
    from xml.etree import ElementTree  # slow, and paths need none of it

    if response_dict.get("status_code") != 200:
        return
    try:
        page = ElementTree.fromstring(response_dict["body"])
    except ElementTree.ParseError:
        return
    space = page.tag.partition("}")[0] + "}" if page.tag.startswith("{") else ""
    entries = page.findall(f"{space}Contents")
    key, size, changed = (f"{space}{name}" for name in ("Key", "Size", "LastModified"))
    customized_response_dict["Contents"] = [
        {
            "Key": entry.findtext(key),
            "Size": int(entry.findtext(size) or 0),
            "LastModified": entry.findtext(changed),
        }
        for entry in entries
    ]
    page[:] = [element for element in page if element.tag != f"{space}Contents"]
    response_dict["body"] = ElementTree.tostring(page)
