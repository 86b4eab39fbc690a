//! `cat`: the bytes of files of a disk.

use std::{
    io::{self, Write},
    num::NonZero,
};

use model_disk::erofs::{ErofsKind, ErofsNode};
use verified_disk::in_order;

use super::{DiskPath, FilesystemError, ReadingError, VerifiedFiles};

/// Prints files of a disk to `out`, from byte `offset` of each on, and `bytes` of each at most.
/// Nothing is printed where one of them is none. A reader that has gone away has what it wanted.
pub fn cat(
    files: &VerifiedFiles,
    paths: &[DiskPath],
    offset: u64,
    bytes: u64,
    threads: NonZero<usize>,
    mut out: impl Write + Send,
) -> Result<(), ReadingError> {
    let nodes: Vec<ErofsNode> = paths
        .iter()
        .map(|path| file(files, path))
        .collect::<Result<_, _>>()?;
    for (path, node) in paths.iter().zip(&nodes) {
        let end = offset.saturating_add(bytes).min(node.size());
        let printed = in_order(
            offset..end,
            threads,
            |buffer, offset| match files.view.read(node, buffer, offset) {
                Ok(_) => Ok(()),
                Err(error) => Err(CatError::Filesystem(error)),
            },
            |part| out.write_all(part).map_err(CatError::Output),
        );
        match printed {
            Ok(()) => {}
            Err(CatError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(());
            }
            Err(CatError::Output(error)) => return Err(ReadingError::Output(error)),
            Err(CatError::Filesystem(source)) => {
                return Err(ReadingError::File {
                    path: path.clone(),
                    device: files.device.clone(),
                    source,
                });
            }
        }
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ReadingError::Output(error)),
        _ => Ok(()),
    }
}

/// Why a file is not printed to its end.
enum CatError {
    Filesystem(FilesystemError),
    Output(io::Error),
}

fn file(files: &VerifiedFiles, path: &DiskPath) -> Result<ErofsNode, ReadingError> {
    let node = files.find(path)?;
    let kind = match node.kind() {
        ErofsKind::File => return Ok(node),
        ErofsKind::Directory => "a directory",
        ErofsKind::Link => "a symbolic link",
        ErofsKind::Special => "a device, a pipe or a socket",
    };
    Err(ReadingError::NoFile {
        path: path.clone(),
        kind,
        device: files.device.clone(),
    })
}
