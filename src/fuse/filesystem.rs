//! What the kernel asks of the filesystem, answered from verified bytes.
//!
//! There is no operation that changes anything: the kernel is told that nothing changes, keeps what it
//! got for as long as it likes, and refuses writes by itself. Files are never handed to the kernel to be
//! read past this process (FUSE passthrough): that would be past the check.

use std::{
    cell::RefCell,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use model_disk::{
    ReadAt as _,
    erofs::{ErofsEntry, ErofsError, ErofsNode, MAX_NAME_SIZE},
};

use super::{
    answer::{ATTRIBUTE, Answer},
    health::Health,
    inodes::{FileNumber, file_of, number_of},
};
use crate::reading::{FilesystemError, VerifiedFiles};

/// How long the kernel may keep what it was told: nothing ever changes. (About a hundred years, which
/// no kernel finds too long.)
const EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The most that the kernel asks for at a time, in bytes.
const MAX_READ: u32 = 1 << 20;

/// How many reads the kernel may begin ahead of those who wait for them.
const MAX_BACKGROUND: u16 = 64;

/// Of nothing.
const NO_ATTRIBUTES: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: SystemTime::UNIX_EPOCH,
    mtime: SystemTime::UNIX_EPOCH,
    ctime: SystemTime::UNIX_EPOCH,
    crtime: SystemTime::UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: BLOCK,
    flags: 0,
};

/// The unit of the size of a filesystem that is told.
const BLOCK: u32 = 4096;

thread_local! {
    /// What a thread reads into, again and again.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A disk that is served, shared by all threads.
pub(super) struct ServedDisk {
    /// Its files.
    pub(super) files: VerifiedFiles,
    /// What was found out about it.
    pub(super) health: Health,
    /// The number of this server.
    pub(super) server: String,
    /// Who has mounted it, and so owns what is on it.
    pub(super) owner: (u32, u32),
}

impl ServedDisk {
    /// What is said to whoever asks.
    pub(super) fn answer(&self) -> Answer {
        Answer {
            server: self.server.clone(),
            device: self.files.shown_device(),
            root_hash: self.files.root_hash().to_string(),
            corrupt: self.health.corrupt().map(|damage| damage.what),
            fec_corrected: self.files.corrected(),
        }
    }

    fn node(&self, number: INodeNo) -> Result<ErofsNode, FilesystemError> {
        let view = self.files.view();
        match file_of(number) {
            Some(FileNumber::Root) => view.root(),
            Some(FileNumber::Nid(nid)) => view.node(nid),
            None => Err(ErofsError::Outside(number.0)),
        }
    }

    /// Remembers why something failed, and gives the errno of it.
    fn failed(&self, error: &FilesystemError) -> Errno {
        self.health.note(error);
        match error {
            ErofsError::Compressed(_) | ErofsError::Layout { .. } | ErofsError::Feature(_) => {
                Errno::EOPNOTSUPP
            }
            _ => Errno::EIO,
        }
    }

    fn attributes(&self, number: INodeNo, node: &ErofsNode) -> FileAttr {
        let (uid, gid) = self.owner;
        FileAttr {
            ino: number,
            size: node.size(),
            blocks: node.size().div_ceil(512),
            kind: kind(node.mode()),
            perm: node.mode() & 0o7777,
            nlink: 1,
            uid,
            gid,
            ..NO_ATTRIBUTES
        }
    }

    fn lookup(
        &self,
        parent: INodeNo,
        name: &OsStr,
    ) -> Result<Option<(INodeNo, ErofsNode)>, FilesystemError> {
        let directory = self.node(parent)?;
        let found = self.files.view().lookup(&directory, name.as_bytes())?;
        Ok(found.and_then(|node| Some((number_of(node.nid())?, node))))
    }

    /// Fills the buffer, as far as the file goes; what it has filled.
    fn read<'a>(
        &self,
        file: INodeNo,
        offset: u64,
        buffer: &'a mut [u8],
    ) -> Result<&'a [u8], FilesystemError> {
        let node = self.node(file)?;
        let read = self.files.view().read(&node, buffer, offset)?;
        Ok(buffer.get(..read).unwrap_or_default())
    }

    /// Calls `add` with the entries of a directory from a position on, each with the position of the
    /// next, until it takes no more.
    fn list(
        &self,
        directory: INodeNo,
        position: u64,
        mut add: impl FnMut(ServedEntry<'_>) -> bool,
    ) -> Result<(), FilesystemError> {
        let directory = self.node(directory)?;
        let view = self.files.view();
        let mut entries = view.entries_from(&directory, position)?;
        let mut name = Vec::new();
        loop {
            let Some(ErofsEntry { name: found, nid }) = entries.next_entry()? else {
                return Ok(());
            };
            name.clear();
            name.extend_from_slice(found);
            // One that cannot be read has a name all the same, and whoever asks for it gets the error.
            let node = view.node(nid);
            let node = node.map_err(|error| self.health.note(&error)).ok();
            let Some(number) = number_of(nid) else {
                continue;
            };
            let entry = ServedEntry {
                number,
                node: node.as_ref(),
                name: OsStr::from_bytes(&name),
                next: entries.position(),
            };
            if add(entry) {
                return Ok(());
            }
        }
    }
}

/// An entry of a directory, as the kernel is told.
struct ServedEntry<'a> {
    number: INodeNo,
    /// None where it cannot be read.
    node: Option<&'a ErofsNode>,
    name: &'a OsStr,
    next: u64,
}

/// What the kernel talks to.
pub(super) struct DiskFilesystem(pub(super) Arc<ServedDisk>);

impl Filesystem for DiskFilesystem {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_ASYNC_DIO,
        ] {
            // A kernel that lacks one asks more often, or one after the other.
            let _ = config.add_capabilities(wanted);
        }
        // How much may be read at a time goes by this number, though nothing is ever written.
        let _ = config.set_max_write(MAX_READ);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.0.lookup(parent, name) {
            Ok(Some((number, node))) => {
                reply.entry(&EVER, &self.0.attributes(number, &node), Generation(0));
            }
            // The number 0 says that there is none, and for how long that is so.
            Ok(None) => reply.entry(&EVER, &NO_ATTRIBUTES, Generation(0)),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        file: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.0.node(file) {
            Ok(node) => reply.attr(&EVER, &self.0.attributes(file, &node)),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn readlink(&self, _request: &Request, link: INodeNo, reply: ReplyData) {
        let target = self.0.node(link);
        match target.and_then(|node| self.0.files.view().link_target(&node)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn open(&self, _request: &Request, file: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Why a file cannot be read at all is told here: of a read, some kernels make an I/O error.
        let node = self.0.node(file);
        match node.and_then(|node| self.0.files.view().extents(&node, 0..1)) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn read(
        &self,
        _request: &Request,
        file: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size.min(MAX_READ) as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let buffer = buffer.get_mut(..size).unwrap_or_default();
            match self.0.read(file, offset, buffer) {
                Ok(data) => reply.data(data),
                Err(error) => reply.error(self.0.failed(&error)),
            }
        });
    }

    fn opendir(
        &self,
        _request: &Request,
        _directory: INodeNo,
        _flags: OpenFlags,
        reply: ReplyOpen,
    ) {
        let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
        reply.opened(FileHandle(0), flags);
    }

    fn readdir(
        &self,
        _request: &Request,
        directory: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.0.list(directory, offset, |entry| {
            let kind = entry
                .node
                .map_or(FileType::RegularFile, |node| kind(node.mode()));
            reply.add(entry.number, entry.next, kind, entry.name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        directory: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.0.list(directory, offset, |entry| {
            let (attributes, valid) = match entry.node {
                Some(node) => (self.0.attributes(entry.number, node), EVER),
                // Nothing that lasts, so that whoever looks at it asks again.
                None => (
                    FileAttr {
                        ino: entry.number,
                        ..NO_ATTRIBUTES
                    },
                    Duration::ZERO,
                ),
            };
            let (number, next, name) = (entry.number, entry.next, entry.name);
            reply.add(number, next, name, &valid, &attributes, Generation(0))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.0.failed(&error)),
        }
    }

    fn statfs(&self, _request: &Request, _file: INodeNo, reply: ReplyStatfs) {
        let blocks = self.0.files.view().image().bytes() / u64::from(BLOCK);
        let longest_name = MAX_NAME_SIZE as u32;
        reply.statfs(blocks, 0, 0, 0, 0, BLOCK, longest_name, BLOCK);
    }

    fn getxattr(
        &self,
        _request: &Request,
        file: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        if file != INodeNo::ROOT || name != ATTRIBUTE {
            return reply.error(Errno::NO_XATTR);
        }
        let Ok(answer) = serde_json::to_vec(&self.0.answer()) else {
            return reply.error(Errno::EIO);
        };
        if size == 0 {
            reply.size(answer.len() as u32);
        } else if answer.len() > size as usize {
            reply.error(Errno::ERANGE);
        } else {
            reply.data(&answer);
        }
    }

    /// No attribute of the disk is shown, and who wants that of the root knows its name.
    fn listxattr(&self, _request: &Request, _file: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 {
            reply.size(0);
        } else {
            reply.data(&[]);
        }
    }
}

fn kind(mode: u16) -> FileType {
    match mode >> 12 {
        0o04 => FileType::Directory,
        0o12 => FileType::Symlink,
        0o06 => FileType::BlockDevice,
        0o02 => FileType::CharDevice,
        0o01 => FileType::NamedPipe,
        0o14 => FileType::Socket,
        _ => FileType::RegularFile,
    }
}
