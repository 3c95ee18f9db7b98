"""A sealed export, `NAME.vsr`: entries and pictures of a record, or of a batch, in one file.

A zip archive without compression, which any program opens. Its comment, the last bytes of the file,
is the SHA-256 of every byte before: whatever byte is changed, is found.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError
from vialsight.files import atomic
from vialsight.station.record import chain, pictures
from vialsight.station.record.findings import Findings
from vialsight.station.record.reading import RecordReader
from vialsight.station.record.trail import Row

FORMAT: Final = 1
SUFFIX: Final = ".vsr"
_SEAL: Final = b"vialsight-record sha256 "
_SEAL_BYTES: Final = len(_SEAL) + 64
_ENTRIES: Final = "entries.jsonl"
_MANIFEST: Final = "manifest.json"
_FRAMES: Final = "frames/"
_FIELDS: Final = ("id", "unix_ns", "kind", "actor", "body", "hash")
_UNDATED: Final = (1980, 1, 1, 0, 0, 0)
_PAGE: Final = 1000
_CHUNK: Final = 2**20


def write_sealed(record: Path, out: Path, *, batch: int | None = None) -> dict[str, Any]:
    """Write the entries of a record, or those from a batch's opening to its closing, and pictures.

    Pictures that were deleted are left out. Returns the manifest. Raises DataError when `out`
    exists or there is no such batch.
    """
    if out.suffix != SUFFIX:
        raise DataError(f"{out}: a sealed export is named NAME{SUFFIX}; add the suffix")
    atomic.refuse_existing(out)
    reader = RecordReader(record)
    try:
        first, last = _range(reader, batch)
        temporary = atomic.beside(out, ".part")
        try:
            content = _write(reader, record.with_name("frames"), temporary, (first, last))
            manifest = {"batch": batch, **content}
            _seal(temporary)
            temporary.rename(out)
        finally:
            temporary.unlink(missing_ok=True)
    finally:
        reader.close()
    return manifest


class SealedFile:
    """A sealed export, opened to be checked. Raises DataError when it is none at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_sealed = _is_sealed(path)
        try:
            self._archive = zipfile.ZipFile(path)
            self.manifest: dict[str, Any] = json.loads(self._archive.read(_MANIFEST))
            self.first = int(self.manifest["first"])
            self.previous = bytes.fromhex(self.manifest["previous"])
            self.head = int(self.manifest["head"][0]), bytes.fromhex(self.manifest["head"][1])
            self._files: dict[str, str] = dict(self.manifest["files"])
        except Exception as error:  # Whatever a changed byte makes of an archive.
            raise DataError(
                f"{path}: expected a sealed export, cannot read it; it was changed or cut: {error}"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def check_file(self, findings: Findings) -> None:
        """Check the seal, and every file inside."""
        if not self.is_sealed:
            findings.add(self._path.name, "expected the seal of its bytes, got another")
        names = [info.filename for info in self._archive.infolist()]
        for name in sorted({*names, *self._files} - {_MANIFEST}):
            self._check_member(name, findings)
        if self.manifest.get("format") != FORMAT or len(set(names)) != len(names):
            findings.add(_MANIFEST, f"expected format {FORMAT} and each name once")

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the trail in order. Raises DataError for what is none."""
        try:
            with self._archive.open(_ENTRIES) as lines:
                for line in lines:
                    value = json.loads(line)
                    values = [value[name] for name in _FIELDS]
                    yield (*values[:-1], bytes.fromhex(values[-1]))
        except Exception as error:  # As above.
            raise DataError(f"{self._path}: {_ENTRIES}: expected entries, got: {error}") from None

    def picture(self, seq: int) -> bytes | None:
        """Return the content of a strip's pictures; None: they are not in it."""
        try:
            return self._archive.read(f"{_FRAMES}{pictures.file_name(seq)}")
        except Exception:  # As above; missing is told by the trail.
            return None

    def picture_names(self) -> list[str]:
        """Return the names of the pictures in it."""
        names = self._archive.namelist()
        return sorted(name.removeprefix(_FRAMES) for name in names if name.startswith(_FRAMES))

    @property
    def deleted(self) -> set[int]:
        """Strips whose pictures were deleted before the export, of which a later entry tells."""
        return {int(seq) for seq in self.manifest.get("deleted", [])}

    def _check_member(self, name: str, findings: Findings) -> None:
        digest = hashlib.sha256()
        try:
            with self._archive.open(name) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except Exception as error:  # As above.
            findings.add(name, f"cannot be read: {error}")
            return
        if digest.hexdigest() != self._files.get(name):
            findings.add(name, "expected the hash that the manifest has, got another")


def _range(reader: RecordReader, batch: int | None) -> tuple[int, int]:
    head = reader.head()[0]
    if batch is None:
        return 1, head
    found = reader.batch(batch)
    if found is None:
        raise DataError(f"expected a batch of the record, got {batch}")
    closed = [entry.id for entry in found.history if entry.kind == "batch_closed"]
    return found.entry, closed[-1] if closed else head


def _write(
    reader: RecordReader, frames: Path, out: Path, entries: tuple[int, int]
) -> dict[str, Any]:
    first, last = entries
    before = reader.entry(first - 1)
    previous = chain.FIRST_PREVIOUS if before is None else before.hash
    files: dict[str, str] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        digest, seqs, head = _write_entries(archive, reader, first, last)
        files[_ENTRIES] = digest
        absent = []
        for seq in seqs:
            name = f"{_FRAMES}{pictures.file_name(seq)}"
            try:
                content = pictures.path_of(frames, seq).read_bytes()
            except FileNotFoundError:
                absent.append(seq)
                continue
            archive.writestr(zipfile.ZipInfo(name, _UNDATED), content)
            files[name] = hashlib.sha256(content).hexdigest()
        manifest = {
            "format": FORMAT, "first": first, "previous": previous.hex(),
            "head": [last, head.hex()], "deleted": absent, "files": files,
        }  # fmt: skip
        text = json.dumps(manifest, indent=1, sort_keys=True)
        archive.writestr(zipfile.ZipInfo(_MANIFEST, _UNDATED), text)
        archive.comment = _SEAL + b"0" * 64
    return manifest


def _write_entries(
    archive: zipfile.ZipFile, reader: RecordReader, first: int, last: int
) -> tuple[str, list[int], bytes]:
    """Write entries; return the file's hash, the strips with pictures, the last entry's hash."""
    digest, seqs, after, head = hashlib.sha256(), [], first - 1, chain.FIRST_PREVIOUS
    with archive.open(zipfile.ZipInfo(_ENTRIES, _UNDATED), "w", force_zip64=True) as file:
        while entries := reader.entries(after=after, before=last + 1, limit=_PAGE):
            for entry in entries:
                values = (*_values(entry), entry.hash.hex())
                line = json.dumps(dict(zip(_FIELDS, values, strict=True)), ensure_ascii=False)
                digest.update(f"{line}\n".encode())
                file.write(f"{line}\n".encode())
                if entry.kind == "strip" and entry.value().get("pictures_sha256") is not None:
                    seqs.append(entry.value()["seq"])
            after, head = entries[-1].id, entries[-1].hash
    return digest.hexdigest(), seqs, head


def _values(entry: chain.Entry) -> tuple[int, int, str, str, str]:
    return entry.id, entry.unix_ns, entry.kind, entry.actor, entry.body


def _seal(path: Path) -> None:
    """Put the hash of all bytes before it into the archive's comment."""
    digest = _digest(path, path.stat().st_size - _SEAL_BYTES)
    with path.open("r+b") as file:
        file.seek(-64, 2)
        file.write(digest.encode())


def _is_sealed(path: Path) -> bool:
    size = path.stat().st_size - _SEAL_BYTES
    if size < 0:
        return False
    with path.open("rb") as file:
        file.seek(size)
        return file.read() == _SEAL + _digest(path, size).encode()


def _digest(path: Path, size: int) -> str:
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
