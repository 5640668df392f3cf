"""Pages of S3, read here: what botocore reads of them."""

from datetime import datetime, timezone

import fsspec
import pytest

from cic.system import s3_pages, storage

NAMES = ["a b.jpg", "a&b;<c>.jpg", "a+b%41.jpg", "\u00e9/\u72fc.jpg", "q\"u'o.jpg"]
PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult%s><Name>scans</Name><IsTruncated>true</IsTruncated><Contents><Key>a&amp;b.jpg</Key>
<LastModified>2026-11-28T01:02:03.000Z</LastModified><ETag>&quot;9b&quot;</ETag><Size>12</Size>
</Contents><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"""


def read(body, status=200):
    answer, found = {"status_code": status, "body": body}, {}
    s3_pages.read(answer, found, operation_model=None)
    return answer["body"], found


@pytest.mark.parametrize("space", [b"", b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_the_entries_are_taken_and_the_rest_is_left(space):
    body, found = read(PAGE % space)
    entry = {"Key": "a&b.jpg", "Size": 12, "LastModified": "2026-11-28T01:02:03.000Z"}
    assert found == {"Contents": [entry]}
    assert b"a&amp;b" not in body
    assert b"IsTruncated>true<" in body
    assert b"NextContinuationToken>t<" in body
    when = datetime(2026, 11, 28, 1, 2, 3, tzinfo=timezone.utc)
    assert storage._changed(entry) == when.timestamp() * 1e9 == storage._changed({"mtime": when})
    assert storage._changed({"LastModified": "lately"}) == storage._changed({}) == 0


@pytest.mark.parametrize(("body", "status"), [(b"<Error/>", 503), (b"<cut", 200), (b"", 200)])
def test_what_is_no_page_is_left_to_botocore(body, status):
    assert read(body, status) == (body, {})


@pytest.mark.slow
def test_a_bucket_is_listed_as_botocore_lists_it(store, monkeypatch):
    system = fsspec.filesystem("s3")
    for number, name in enumerate(NAMES):
        system.pipe_file(f"scans/odd/{name}", bytes(number))
    found = list(storage.files("s3://scans/odd"))
    assert [entry.name for entry in found] == sorted(NAMES, key=str.encode)
    assert {entry.size for entry in found} == set(range(len(NAMES)))
    assert all(entry.changed > 1e18 for entry in found)
    monkeypatch.setattr(s3_pages, "read", lambda *_, **__: None)
    type(system).clear_instance_cache()  # an older botocore does not ask
    assert list(storage.files("s3://scans/odd")) == found
