//! From requests on files to entries of the submission queue: plain data in, plain data out.

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::{Fd, FsyncFlags};

use super::entry::size;
use crate::op::file::FileRequest;

/// The entry that performs `request`.
pub(super) fn of(request: &FileRequest) -> Entry {
    match *request {
        FileRequest::Read { fd, buffer, length, offset } => {
            opcode::Read::new(Fd(fd), buffer, size(length)).offset(offset).build()
        }
        FileRequest::Write { fd, buffer, length, offset } => {
            opcode::Write::new(Fd(fd), buffer, size(length)).offset(offset).build()
        }
        FileRequest::ReadVectored { fd, buffers, count, offset } => {
            opcode::Readv::new(Fd(fd), buffers, size(count)).offset(offset).build()
        }
        FileRequest::WriteVectored { fd, buffers, count, offset } => {
            opcode::Writev::new(Fd(fd), buffers, size(count)).offset(offset).build()
        }
        FileRequest::Sync { fd, only_data } => {
            let flags = if only_data { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(Fd(fd)).flags(flags).build()
        }
        FileRequest::Allocate { fd, mode, offset, length } => {
            opcode::Fallocate::new(Fd(fd), length).offset(offset).mode(mode).build()
        }
        FileRequest::Close { fd } => opcode::Close::new(Fd(fd)).build(),
        FileRequest::Open { directory, path, flags, mode } => {
            opcode::OpenAt::new(Fd(directory), path).flags(flags).mode(mode).build()
        }
        FileRequest::Status { directory, path, flags, mask, status } => {
            opcode::Statx::new(Fd(directory), path, status.cast()).flags(flags).mask(mask).build()
        }
        FileRequest::Rename { from_directory, from, to_directory, to, flags } => {
            opcode::RenameAt::new(Fd(from_directory), from, Fd(to_directory), to)
                .flags(flags)
                .build()
        }
        FileRequest::Remove { directory, path, flags } => {
            opcode::UnlinkAt::new(Fd(directory), path).flags(flags).build()
        }
        FileRequest::MakeDirectory { directory, path, mode } => {
            opcode::MkDirAt::new(Fd(directory), path).mode(mode).build()
        }
        FileRequest::Symlink { target, directory, path } => {
            opcode::SymlinkAt::new(Fd(directory), target, path).build()
        }
        FileRequest::Link { from_directory, from, to_directory, to, flags } => {
            opcode::LinkAt::new(Fd(from_directory), from, Fd(to_directory), to).flags(flags).build()
        }
    }
}
