"""The files of a remote over SSH: a head is written to a temporary file, and linked to its name."""

from __future__ import annotations

import posixpath
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from geographer.storage.dvc.remote_files import FileServerFiles


class SshFiles(FileServerFiles):
    """Files of an SFTP server, through sshfs and asyncssh."""

    can_claim = True

    def has_file(self, path: str) -> bool:
        """Return whether the server has a file."""
        return bool(self.filesystem.exists(self.join_path(path)))

    def create_file(self, path: str, content: bytes, is_current: Callable[[], bool]) -> bool | None:
        """Link a temporary file to the name (hardlink@openssh.com), which fails if that exists."""
        return self._run_task(self._link_new_file, self.join_path(path), content)

    def claim_file(self, path: str) -> bool:
        """Open the file with SSH_FXF_CREAT and SSH_FXF_EXCL."""
        return bool(self._run_task(self._claim_file, self.join_path(path)))

    def write_file(self, path: str, content: bytes) -> None:
        """Write the content in place."""
        self._run_task(self._write_content, self.join_path(path), content, "r+b")

    def close(self) -> None:
        """Close the connection."""
        ssh = self.filesystem.__dict__.get("fs")
        if ssh is not None:
            from fsspec.asyn import FSTimeoutError, sync

            async def close_connection() -> None:
                await ssh._pool.close()
                with suppress(BrokenPipeError):
                    await ssh._stack.aclose()

            with suppress(FSTimeoutError):
                sync(ssh.loop, close_connection, timeout=5)

    def _run_task(self, work: Callable[..., Any], *arguments: object) -> bool | None:
        """Run a coroutine with an SFTP client as its first argument."""
        from fsspec.asyn import sync

        ssh = self.filesystem.fs

        async def run_work() -> bool | None:
            async with ssh._pool.get() as sftp:
                result: bool | None = await work(sftp, *arguments)
                return result

        result: bool | None = sync(ssh.loop, run_work)
        return result

    async def _link_new_file(self, sftp: Any, path: str, content: bytes) -> bool | None:
        from asyncssh.sftp import SFTPError, SFTPOpUnsupported

        folder = posixpath.dirname(path)
        temporary = posixpath.join(folder, f".geographer-{secrets.token_hex(8)}")
        await sftp.makedirs(folder, exist_ok=True)
        try:
            await self._write_content(sftp, temporary, content, "xb")
            await sftp.link(temporary, path)
        except SFTPOpUnsupported:
            return None
        except SFTPError:
            # Version 3 of SFTP has one code for all failures. If the name exists, another pusher was faster; else the
            # server's file system has no hard links.
            if await sftp.exists(temporary):
                return False if await sftp.exists(path) else None
            raise
        finally:
            with suppress(SFTPError):
                await sftp.unlink(temporary)
        return True

    async def _claim_file(self, sftp: Any, path: str) -> bool:
        from asyncssh.sftp import SFTPError

        try:
            await self._write_content(sftp, path, b"", "xb")
        except SFTPError:
            if await sftp.exists(path):
                return False
            raise
        return True

    async def _write_content(self, sftp: Any, path: str, content: bytes, mode: str) -> None:
        from asyncssh.sftp import SFTPOpUnsupported

        async with sftp.open(path, mode) as file:
            await file.write(content)
            with suppress(SFTPOpUnsupported):
                await file.fsync()
