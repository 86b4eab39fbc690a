//! What is on a block device already, by the marks of filesystems, volumes, partition tables and RAID
//! members.
//!
//! The marks and their places are those that `blkid` and `wipefs` go by. No I/O but reading, so
//! that bytes in memory do as well.

use model_disk::ReadAt;

use Place::{End, Start};

/// Something that is on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it is, as `an XFS filesystem`.
    pub name: &'static str,
    /// Where its mark is, in bytes.
    pub offset: u64,
}

/// What a mark looks like, and where it is.
struct KnownMark {
    name: &'static str,
    bytes: &'static [u8],
    places: &'static [Place],
}

/// Where a mark is.
#[derive(Clone, Copy)]
enum Place {
    /// So many bytes after the start.
    Start(u64),
    /// So many bytes before the end, which is rounded down to a multiple of `unit`.
    End { unit: u64, before: u64 },
}

const fn mark(name: &'static str, bytes: &'static [u8], places: &'static [Place]) -> KnownMark {
    KnownMark {
        name,
        bytes,
        places,
    }
}

const EXT: &str = "an ext2, ext3 or ext4 filesystem";
const FAT: &str = "a FAT filesystem";
const UDF: &str = "a UDF filesystem";
const SWAP: &str = "swap space";
const RAID: &str = "a part of a Linux RAID";
const GPT: &str = "a GPT partition table";

/// The last byte of a page that swap space is marked in, and of those on machines with larger pages.
const SWAP_PLACES: &[Place] = &[
    Start(4086),
    Start(8182),
    Start(16374),
    Start(32758),
    Start(65526),
];

/// All marks. Where one thing has several, or several things have one, what says more comes first.
const MARKS: &[KnownMark] = &[
    mark("a LUKS volume", b"LUKS\xba\xbe", &[Start(0)]),
    mark(
        "a LUKS volume",
        b"SKUL\xba\xbe",
        &[
            Start(0x4000),
            Start(0x8000),
            Start(0x10000),
            Start(0x20000),
            Start(0x40000),
            Start(0x80000),
            Start(0x10_0000),
            Start(0x20_0000),
            Start(0x40_0000),
        ],
    ),
    mark("a BitLocker volume", b"-FVE-FS-", &[Start(3)]),
    mark("a dm-verity hash tree", b"verity\0\0", &[Start(0)]),
    mark("a dm-integrity volume", b"integrt\0", &[Start(0)]),
    mark(
        "an LVM physical volume",
        b"LABELONE",
        &[Start(0), Start(512), Start(1024), Start(1536)],
    ),
    mark("a dm-snapshot store", b"SnAp", &[Start(0)]),
    mark("a VDO volume", b"dmvdo001", &[Start(0)]),
    mark(
        "a part of a Stratis pool",
        b"!Stra0tis\x86\xff\x02^\x41rh",
        &[Start(516), Start(4612)],
    ),
    mark("a Ceph BlueStore", b"bluestore block device", &[Start(0)]),
    // Version 1.1, 1.2, 0.90 and 1.0.
    mark(
        RAID,
        b"\xfc\x4e\x2b\xa9",
        &[
            Start(0),
            Start(4096),
            End {
                unit: 65536,
                before: 65536,
            },
            End {
                unit: 4096,
                before: 8192,
            },
        ],
    ),
    mark(
        "a part of an Intel RAID",
        b"Intel Raid ISM Cfg Sig. ",
        &[before_end(1024), before_end(8192)],
    ),
    mark(
        "a part of a DDF RAID",
        b"\xde\x11\xde\x11",
        &[before_end(512)],
    ),
    mark("a part of a DRBD", b"\x83\x74\x02", &[before_end(4036)]),
    mark(
        "a bcache device",
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        &[Start(4120)],
    ),
    mark(
        "a bcachefs filesystem",
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
        &[Start(4120)],
    ),
    // The name of the first entry of each label.
    mark(
        "a part of a ZFS pool",
        b"\0\0\0\x07version",
        &[
            Start(16404),
            Start(262_144 + 16404),
            End {
                unit: 262_144,
                before: 524_288 - 16404,
            },
            End {
                unit: 262_144,
                before: 262_144 - 16404,
            },
        ],
    ),
    mark(
        "a Btrfs filesystem",
        b"_BHRfS_M",
        &[Start(0x1_0040), Start(0x400_0040), Start(0x40_0000_0040)],
    ),
    mark("an XFS filesystem", b"XFSB", &[Start(0)]),
    mark("an EROFS filesystem", b"\xe2\xe1\xf5\xe0", &[Start(1024)]),
    mark("a SquashFS filesystem", b"hsqs", &[Start(0)]),
    mark("a SquashFS filesystem", b"sqsh", &[Start(0)]),
    mark(
        "an F2FS filesystem",
        b"\x10\x20\xf5\xf2",
        &[Start(1024), Start(5120)],
    ),
    mark(EXT, b"\x53\xef", &[Start(1080)]),
    mark("an NTFS filesystem", b"NTFS    ", &[Start(3)]),
    mark("an exFAT filesystem", b"EXFAT   ", &[Start(3)]),
    mark(FAT, b"FAT32   ", &[Start(82)]),
    mark(FAT, b"MSWIN", &[Start(82)]),
    mark(FAT, b"FAT1", &[Start(54)]),
    mark(FAT, b"FAT  ", &[Start(54)]),
    mark(FAT, b"MSDOS", &[Start(54)]),
    mark("an ISO 9660 filesystem", b"CD001", &[Start(32769)]),
    mark(UDF, b"BEA01", &[Start(32769)]),
    mark(UDF, b"NSR0", &[Start(32769), Start(34817), Start(36865)]),
    mark(SWAP, b"SWAPSPACE2", SWAP_PLACES),
    mark(SWAP, b"SWAP-SPACE", SWAP_PLACES),
    mark("a suspended system", b"S1SUSPEND", SWAP_PLACES),
    mark("a suspended system", b"S2SUSPEND", SWAP_PLACES),
    mark("a suspended system", b"ULSUSPEND", SWAP_PLACES),
    mark("a suspended system", b"LINHIB0001", SWAP_PLACES),
    mark(
        "a ReiserFS filesystem",
        b"ReIsEr",
        &[Start(8244), Start(65588), Start(65536)],
    ),
    mark("a JFS filesystem", b"JFS1", &[Start(32768)]),
    mark("a NILFS2 filesystem", b"\x34\x34", &[Start(1030)]),
    mark(
        "an OCFS2 filesystem",
        b"OCFSV2",
        &[Start(1024), Start(2048), Start(4096), Start(8192)],
    ),
    mark(
        "a GFS2 filesystem",
        b"\x01\x16\x19\x70\0\0\0\x01",
        &[Start(65536)],
    ),
    mark("a VMFS volume", b"\x0d\xd0\x01\xc0", &[Start(1 << 20)]),
    mark("an Oracle ASM disk", b"ORCLDISK", &[Start(32)]),
    mark("an APFS volume", b"NXSB", &[Start(32)]),
    mark("an HFS+ filesystem", b"H+\0\x04", &[Start(1024)]),
    mark("an HFS+ filesystem", b"HX\0\x05", &[Start(1024)]),
    mark("an HFS filesystem", b"BD", &[Start(1024)]),
    mark(
        "a UFS filesystem",
        b"\x54\x19\x01\0",
        &[Start(1372), Start(9564), Start(66908)],
    ),
    mark(
        "a UFS filesystem",
        b"\x19\x01\x54\x19",
        &[Start(1372), Start(9564), Start(66908)],
    ),
    mark("a romfs filesystem", b"-rom1fs-", &[Start(0)]),
    mark(
        "a cramfs filesystem",
        b"\x45\x3d\xcd\x28",
        &[Start(0), Start(512)],
    ),
    // At the start and its backup at the end, in sectors of 512 and of 4096 bytes.
    mark(
        GPT,
        b"EFI PART",
        &[Start(512), Start(4096), before_end(512), before_end(4096)],
    ),
    mark(
        "a BSD disk label",
        b"\x57\x45\x56\x82",
        &[Start(0), Start(512)],
    ),
    mark("a Sun disk label", b"\xda\xbe", &[Start(508)]),
    mark("an SGI disk label", b"\x0b\xe5\xa9\x41", &[Start(0)]),
    mark("an Apple partition map", b"PM\0\0", &[Start(512)]),
    // Many of those above have this too.
    mark(
        "a partition table or a boot sector",
        b"\x55\xaa",
        &[Start(510)],
    ),
];

const fn before_end(before: u64) -> Place {
    End { unit: 1, before }
}

impl Place {
    /// The byte that it is, in so many.
    fn offset(self, bytes: u64) -> Option<u64> {
        match self {
            Start(offset) => Some(offset),
            End { unit, before } => (bytes / unit * unit).checked_sub(before),
        }
    }
}

/// All that has a mark on a device, what says most first: on that which begins at byte `start`
/// of this one.
pub(crate) fn find<R: ReadAt + ?Sized>(device: &R, start: u64) -> Result<Vec<Signature>, R::Error> {
    let mut found = Vec::new();
    let bytes = device.bytes().saturating_sub(start);
    for mark in MARKS {
        for place in mark.places {
            let Some(offset) = place.offset(bytes) else {
                continue;
            };
            let end = offset.checked_add(mark.bytes.len() as u64);
            if end.is_none_or(|end| end > bytes) {
                continue;
            }
            let mut there = vec![0; mark.bytes.len()];
            let offset = start + offset;
            device.read_exact_at(&mut there, offset)?;
            if there == mark.bytes {
                let name = mark.name;
                found.push(Signature { name, offset });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for all but the last Btrfs copy.
    const BYTES: u64 = 70 << 20;

    #[test]
    fn each_mark_is_found_where_it_is_and_alone() {
        let mut device = vec![0; BYTES as usize];
        let mut checked = 0;
        for mark in MARKS {
            for place in mark.places {
                let offset = place.offset(BYTES).unwrap();
                let Some(there) = device.get_mut(offset as usize..) else {
                    continue;
                };
                there[..mark.bytes.len()].copy_from_slice(mark.bytes);
                let found = find(&device[..], 0).unwrap();
                let name = mark.name;
                assert_eq!(found, [Signature { name, offset }]);
                device[offset as usize..][..mark.bytes.len()].fill(0);
                checked += 1;
            }
        }
        assert!(checked > 100, "{checked}");
        assert_eq!(find(&device[..], 0).unwrap(), []);
    }

    #[test]
    fn a_device_may_be_as_short_as_it_wants() {
        let device = [0x55; 70_000];
        for bytes in (0..5000).chain([65_535, 65_536, 65_537, 70_000]) {
            assert_eq!(find(&device[..bytes], 0).unwrap(), []);
            assert_eq!(find(&device[..bytes], bytes as u64 + 1).unwrap(), []);
        }
    }

    #[test]
    fn the_end_of_a_device_counts_from_wherever_its_start_is() {
        let mut device = vec![0; 100_000];
        device[4096..4104].copy_from_slice(b"verity\0\0");
        let end = 100_000 - 512;
        device[end..end + 8].copy_from_slice(b"EFI PART");
        let names = |start| {
            let found = find(&device[..], start).unwrap();
            found
                .into_iter()
                .map(|found| (found.name, found.offset))
                .collect::<Vec<_>>()
        };
        let backup = (GPT, end as u64);
        assert_eq!(names(4096), [("a dm-verity hash tree", 4096), backup]);
        assert_eq!(names(0), [backup]);
    }
}
