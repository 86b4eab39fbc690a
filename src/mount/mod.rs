//! The steps of a mount: from a device and a root hash to a verified filesystem.
//!
//! Each step has an undo, which runs when a later one fails: whatever goes wrong, nothing stays
//! behind. The steps up to the mapping are modules beside this one; `filesystem` is the last, and
//! `existing` looks whether the disk is mounted already.

mod context;
mod devices;
mod erofs_features;
mod error;
mod existing;
mod filesystem;

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::PathBuf,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::{
    block_sizes::check_block_sizes,
    device,
    device_mapper::{Description, DeviceMapper, Mapping, MappingName},
    device_node::DeviceNode,
    log,
    min_free::MinFree,
    mount_point::{MountPoint, ResolvedPath, mount_id},
    pause::{Deadline, Pause},
    prefetch::Prefetch,
    sys,
    watchdog::{Steps, watched},
};
pub(crate) use context::{DetachedMount, FsContext};
use devices::{ShownDevices, table_of};
use dm_verity::{BlockSize, DeviceNumber, OnCorruption, OnReadError, RootHash, VerityTable};
pub use error::MountError;
pub(crate) use existing::left_behind;
use existing::{ExistingMount, find_mounted};
use model_disk::{
    Binding, Disk, DiskArguments, Escaped, FecArguments, FileError, ParamsSource, PartitionChoice,
    filesystem::{FsType, HEADER_SIZE},
};

/// What a device may take for an answer at least, so that one that is there counts as there
/// without any wait.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// What `mount` is asked for. All of it is trusted.
#[derive(Clone, Debug)]
pub struct MountRequest {
    /// What the disk must be.
    pub root_hash: RootHash,
    /// The block device or image file with the data.
    pub device: PathBuf,
    /// The device with the tree, if it is another.
    pub hash_device: Option<PathBuf>,
    /// The partitions with data and tree, if the device is to be taken apart by its partition table;
    /// there is no hash device then.
    pub partitions: Option<PartitionChoice>,
    /// Where the parameters of the tree come from.
    pub params: ParamsSource,
    /// Where the FEC area is, if corrupt blocks are to be corrected by it.
    pub fec: Option<FecArguments>,
    /// The directory; it is made if it is missing.
    pub mount_point: PathBuf,
    /// The filesystem on the disk.
    pub fs_type: FsType,
    /// How long the devices may take to appear, and then, but at least ten seconds, for each
    /// answer.
    pub wait: Duration,
    /// What the kernel does about a corrupt block.
    pub on_corruption: OnCorruption,
    /// What the kernel does about a block that cannot be read.
    pub on_error: OnReadError,
    /// The name of the mapping; derived from its table if not given.
    pub name: Option<MappingName>,
    /// How much the device reads ahead, in sectors of 512 bytes.
    pub read_ahead: Option<u32>,
    /// What the kernel's reserve of free memory is raised to before the mount, in KiB.
    pub min_free: Option<u64>,
    /// Whether the files are read into the page cache.
    pub prefetch: bool,
    /// The mount point may be on a filesystem that another machine, or another process, answers for.
    pub allow_remote_mount_point: bool,
    /// A sidecar that cannot give up what it does not need goes on all the same.
    pub allow_unconfined: bool,
    /// A sidecar that is asked to end leaves its disk mounted.
    pub leave_mounted: bool,
}

impl MountRequest {
    /// A request with what the command line takes where nothing else is said: parameters from the
    /// superblock after the filesystem, EROFS, and a wait of 30 seconds.
    pub fn new(
        root_hash: RootHash,
        device: impl Into<PathBuf>,
        mount_point: impl Into<PathBuf>,
    ) -> Self {
        Self {
            root_hash,
            device: device.into(),
            hash_device: None,
            partitions: None,
            params: ParamsSource::default(),
            fec: None,
            mount_point: mount_point.into(),
            fs_type: FsType::default(),
            wait: Duration::from_secs(30),
            on_corruption: OnCorruption::default(),
            on_error: OnReadError::default(),
            name: None,
            read_ahead: None,
            min_free: None,
            prefetch: false,
            allow_remote_mount_point: false,
            allow_unconfined: false,
            leave_mounted: false,
        }
    }

    /// What the disk must be.
    fn disk_arguments(&self) -> DiskArguments {
        DiskArguments {
            root_hash: Some(self.root_hash),
            fs_type: self.fs_type,
            params: self.params.clone(),
        }
    }
}

/// What has been mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The name of the mapping.
    pub name: MappingName,
    /// The device number of the mapping.
    pub number: DeviceNumber,
    /// The kernel's number of the mount.
    pub mount_id: u64,
    /// The unit in which its data is verified.
    pub data_block_size: BlockSize,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The table of the mapping: what tells it from one that came after it, with its number.
    table: String,
    /// Whether the mapping is one of this project.
    own: bool,
}

impl Mounted {
    /// Whether a mapping is the one that was mounted, whatever its name is by now.
    pub(super) fn is_of(&self, mapping: &Description) -> bool {
        mapping.table == self.table
    }

    /// Opens the directory that is the root of the mount.
    pub(super) fn open_root(&self) -> Result<OwnedFd, MountError> {
        let path = &self.mount_point;
        let root = ResolvedPath::look(path)?.open_readable()?;
        let id = mount_id(&root).map_err(FileError::new("tell the mount of", path))?;
        if id != self.mount_id {
            return Err(MountError::NotShown(path.clone()));
        }
        Ok(root)
    }

    /// Opens the block device of the mapping; None where it has gone.
    pub(super) fn open_mapping(&self) -> io::Result<Option<(DeviceNode, File)>> {
        self.name.open(self.number, self.own)
    }
}

/// Mounts a disk, and reads its files into the page cache if that is asked for.
pub fn mount(request: &MountRequest) -> Result<Mounted, MountError> {
    let mounted = mount_watched(request, &|| false)?;
    if request.prefetch {
        Prefetch::start(mounted.open_root()?).finish(patience(request));
    }
    Ok(mounted)
}

/// Takes all steps of a mount, in a bounded time for each answer of a device, unless `asked_to_end`
/// says something before the last.
///
/// Where a device does not answer, nothing is undone here: the mapping, the loop device and the
/// mount that nobody sees yet go with the program.
pub(crate) fn mount_watched(
    request: &MountRequest,
    asked_to_end: &dyn Fn() -> bool,
) -> Result<Mounted, MountError> {
    let (patience, own) = (patience(request), request.clone());
    watched(patience, asked_to_end, move |steps| take_steps(&own, steps))
        .unwrap_or_else(|stuck| Err(MountError::of_stuck(stuck, &request.device, patience)))
}

fn patience(request: &MountRequest) -> Duration {
    patience_of(request.wait)
}

/// How long a device may take to answer, where it was waited for so long.
pub(crate) fn patience_of(wait: Duration) -> Duration {
    wait.max(LEAST_PATIENCE)
}

fn take_steps(request: &MountRequest, steps: &Steps) -> Result<Mounted, MountError> {
    let pause = &|time| steps.pause(time);
    let deadline = Deadline::after(request.wait);
    let disk = find_disk(request, &deadline, steps)?;

    steps.begin("preparing the mount point")?;
    let (path, remote) = (&request.mount_point, request.allow_remote_mount_point);
    let mut mount_point = MountPoint::prepare(path, remote, &deadline, pause)?;
    let reserve = MinFree::raise(request.min_free, &deadline, pause)?;
    steps.begin("asking device-mapper for what is mounted")?;
    let device_mapper = DeviceMapper::open()?;
    device_mapper.check_target(request.on_corruption, request.on_error)?;
    loop {
        match find_mounted(&device_mapper, &disk, request, steps, &mount_point)? {
            ExistingMount::None => break,
            ExistingMount::Same(found) => {
                reserve.keep();
                return Ok(found);
            }
            // What is below it is another directory, to be checked in its turn.
            ExistingMount::Gone => {
                drop(mount_point);
                mount_point = MountPoint::prepare(path, remote, &deadline, pause)?;
            }
        }
    }

    // The loop devices are held until the mapping holds them.
    let devices = ShownDevices::of(&disk, steps)?;
    steps.begin("activating the mapping")?;
    let table = table_of(&disk, request, devices.numbers());
    let name = request.name.clone().unwrap_or_else(|| default_name(&table));
    let mapping = device_mapper.activate(&name, &table)?;
    let (binding, mount_id) = mount_mapping(&mapping, &disk, request, steps, &mount_point)?;
    let (number, own) = (mapping.number(), mapping.is_own());
    let joined = if mapping.is_joined() {
        ", in a mapping that was there"
    } else {
        ""
    };
    mapping.leave();
    log::info(format_args!(
        "{} is mounted at {}: root hash {}, geometry bound by {}, mapping {name}{joined}",
        Escaped::path(disk.data_file().path()),
        Escaped::path(mount_point.path()),
        request.root_hash,
        binding.as_str(),
    ));
    reserve.keep();
    Ok(Mounted {
        name,
        number,
        mount_id,
        data_block_size: disk.params().data_block_size(),
        mount_point: mount_point.keep(),
        table: table.to_string(),
        own,
    })
}

/// Finds a disk, and checks all that a mount checks before the kernel has a part in it, see
/// [`Disk::check`]. Nothing is made or changed, and no more is needed than the right to read the
/// devices.
///
/// # Errors
///
/// Those of [`mount()`] that are told before anything is activated.
pub fn check(request: &MountRequest) -> Result<Disk, MountError> {
    find_disk(request, &Deadline::after(request.wait), &Steps::new())
}

/// The first steps: finds the devices, and refuses what cannot be the disk that is asked for. The
/// kernel gets to see none of it.
fn find_disk(
    request: &MountRequest,
    deadline: &Deadline,
    steps: &Steps,
) -> Result<Disk, MountError> {
    let pause: Pause<'_> = &|time| steps.pause(time);
    steps.begin("opening it")?;
    let device = device::find(&request.device, deadline, pause)?;
    let (data, hash) = if let Some(choice) = request.partitions {
        steps.begin("reading its partition table")?;
        let (data, hash) = choice.open(&device)?;
        (data, Some(hash))
    } else {
        let hash = request.hash_device.as_ref();
        let hash = hash.map(|path| device::find(path, deadline, pause));
        (device, hash.transpose()?)
    };
    let fec = request.fec.as_ref();
    let fec = fec.map(|fec| fec.open(|path| device::find(path, deadline, pause)));
    let fec = fec.transpose()?;
    steps.begin("reading its superblocks and the root block of its tree")?;
    let disk = Disk::check_with_fec(data, hash, &request.disk_arguments(), fec)?;
    check_block_sizes(&disk)?;
    Ok(disk)
}

/// The last steps, on an active mapping: its first bytes are read through dm-verity, they bind
/// the geometry if nothing else has, and the filesystem is mounted and looked at.
fn mount_mapping(
    mapping: &Mapping<'_>,
    disk: &Disk,
    request: &MountRequest,
    steps: &Steps,
    mount_point: &MountPoint,
) -> Result<(Binding, u64), MountError> {
    let (node, device) = mapping.device();
    if let Some(sectors) = request.read_ahead {
        sys::block::set_read_ahead(device, sectors)
            .map_err(FileError::new("set the read-ahead of", node))?;
    }
    steps.begin("reading its first block through dm-verity")?;
    let header = read_header(device, disk, || Ok(mapping.check_status()?))?;
    let binding = disk.bind(&header)?;

    let block_size = disk.params().data_block_size();
    filesystem::check_blocks(request.fs_type, &header, block_size)?;
    erofs_features::check_features(request.fs_type, &header)?;

    steps.begin("mounting its filesystem")?;
    let mount = filesystem::mount_detached(mapping, request.fs_type, block_size, &header);
    // A filesystem that meets a corrupt block only says that it cannot be mounted.
    mapping.check_status()?;
    let mount = mount?;
    // From here on nothing waits for a device, and the mount is seen.
    steps.begin("showing the mount")?;
    let path = mount_point.path();
    let mount_id = mount_id(&mount).map_err(FileError::new("tell the mount of", path))?;
    mount
        .attach(mount_point)
        .map_err(FileError::new("mount onto", path))?;
    // Whoever opens the path from now on must get this mount.
    match ResolvedPath::look(path) {
        Ok(shown) if shown.identity().mount_id == mount_id => Ok((binding, mount_id)),
        other => {
            mount.detach().map_err(FileError::new("unmount", path))?;
            other?;
            Err(MountError::NotShown(path.to_owned()))
        }
    }
}

/// Reads the first bytes of the data through dm-verity. `check_status` is asked whether an error
/// is one because the disk is corrupt.
fn read_header(
    device: &File,
    disk: &Disk,
    check_status: impl FnOnce() -> Result<(), MountError>,
) -> Result<Vec<u8>, MountError> {
    let size = (HEADER_SIZE as u64).min(disk.params().data_bytes());
    let mut header = vec![0; size as usize];
    match device.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(header),
        Err(error) => {
            check_status()?;
            let path = disk.data_file().path();
            Err(FileError::new("read through dm-verity the first block of", path)(error).into())
        }
    }
}

/// One table, one name: whoever asks for the same shares the mapping.
#[expect(clippy::unreachable, reason = "the length of a digest in hex is fixed")]
fn default_name(table: &VerityTable) -> MappingName {
    let digest: [u8; 32] = Sha256::digest(table.to_string()).into();
    let [half, _]: [[u8; 16]; 2] = zerocopy::transmute!(digest);
    format!("disk-mounter-{}", hex::encode(half))
        .parse()
        .unwrap_or_else(|_| unreachable!("45 plain characters"))
}
