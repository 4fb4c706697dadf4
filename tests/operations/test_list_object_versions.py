"""ListObjectVersions."""

import itertools

import pytest

from tests.operations.refusals import refused


@pytest.fixture
def versioned(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def entries_of(page):
    """(key, version id, is latest, is marker) of a page, versions and markers together, in order of keys."""
    found = [(e["Key"], e["VersionId"], e["IsLatest"], False) for e in page.get("Versions", [])]
    found += [(e["Key"], e["VersionId"], e["IsLatest"], True) for e in page.get("DeleteMarkers", [])]
    return found


def walk(s3, bucket, **arguments):
    found, prefixes = [], []
    while True:
        page = s3.list_object_versions(Bucket=bucket, **arguments)
        found += entries_of(page)
        prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            assert "NextKeyMarker" not in page
            return found, prefixes
        arguments["KeyMarker"] = page["NextKeyMarker"]
        arguments.pop("VersionIdMarker", None)
        if "NextVersionIdMarker" in page:
            arguments["VersionIdMarker"] = page["NextVersionIdMarker"]


@pytest.fixture
def history(s3, versioned):
    """key → its version ids, newest first, and which are markers."""
    made = {"a": [], "b/1": [], "b/2": [], "c": []}
    for round_ in range(3):
        for key, versions in made.items():
            answer = s3.put_object(Bucket=versioned, Key=key, Body=str(round_).encode())
            versions.insert(0, (answer["VersionId"], False))
    for key in ("a", "b/2"):
        made[key].insert(0, (s3.delete_object(Bucket=versioned, Key=key)["VersionId"], True))
    made["a"].insert(0, (s3.put_object(Bucket=versioned, Key="a", Body=b"back")["VersionId"], False))
    return made


def expected_of(history, keys=None):
    return [
        (key, version_id, position == 0, is_marker)
        for key, versions in history.items()
        if keys is None or key in keys
        for position, (version_id, is_marker) in enumerate(versions)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_every_version_and_marker_once_whatever_the_page_size(s3, versioned, history, size):
    found, _ = walk(s3, versioned, MaxKeys=size)
    assert sorted(found) == sorted(expected_of(history))
    for key, group in itertools.groupby(sorted(found), key=lambda entry: entry[0]):
        assert sum(is_latest for _, _, is_latest, _ in group) == 1, key


def test_newest_first(s3, versioned, history):
    page = s3.list_object_versions(Bucket=versioned, Prefix="a")
    assert [(e["VersionId"], False) for e in page["Versions"]] == [v for v in history["a"] if not v[1]]
    times = [e["LastModified"] for e in page["Versions"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_versions_fold_into_common_prefixes(s3, versioned, history, size):
    found, prefixes = walk(s3, versioned, Delimiter="/", MaxKeys=size)
    assert sorted(found) == sorted(expected_of(history, {"a", "c"}))
    assert prefixes == ["b/"]


def test_a_bucket_that_never_was_versioned_lists_null_versions(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    page = s3.list_object_versions(Bucket=bucket)
    assert entries_of(page) == [("key", "null", True, False)]
    assert page["Versions"][0]["Size"] == 1


ALONE = "A version-id marker cannot be specified without a key marker."
EMPTY = "A version-id marker cannot be empty."
UNKNOWN = "Invalid version id specified"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"VersionIdMarker": "null"}, ALONE),
        ({"VersionIdMarker": "", "EncodingType": "none"}, ALONE),
        ({"KeyMarker": "", "VersionIdMarker": "null"}, ALONE),
        ({"KeyMarker": "a", "VersionIdMarker": ""}, EMPTY),
        ({"KeyMarker": "a", "VersionIdMarker": "junk", "EncodingType": "none"}, UNKNOWN),
        (
            {"VersionIdMarker": "", "MaxKeys": -1},
            "Argument maxKeys must be an integer between 0 and 2147483647",
        ),
    ],
)
def test_markers_that_make_no_sense(s3, versioned, arguments, message):
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.list_object_versions(Bucket=versioned, **arguments)
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("InvalidArgument", message)
    assert error["ArgumentName"] == ("maxKeys" if "MaxKeys" in arguments else "version-id-marker")


def test_other_people_list_nothing(other, anonymous, versioned):
    for client in (other, anonymous):
        assert refused(client.list_object_versions, Bucket=versioned) == (403, "AccessDenied")
