//! Types of partitions that go together: data and its hash tree, of the [Discoverable Partitions
//! Specification](https://uapi-group.org/specifications/specs/discoverable_partitions_specification/).

use uuid::Uuid;

/// For the root and the `/usr` directory of each architecture: the type of the data, and that of
/// its tree.
#[rustfmt::skip]
const PAIRS: &[(u128, u128)] = &[
    // root-alpha
    (0x6523f8ae_3eb1_4e2a_a05a_18b695ae656f, 0xfc56d9e9_e6e5_4c06_be32_e74407ce09a5),
    // usr-alpha
    (0xe18cf08c_33ec_4c0d_8246_c6c6fb3da024, 0x8cce0d25_c0d0_4a44_bd87_46331bf1df67),
    // root-arc
    (0xd27f46ed_2919_4cb8_bd25_9531f3c16534, 0x24b2d975_0f97_4521_afa1_cd531e421b8d),
    // usr-arc
    (0x7978a683_6316_4922_bbee_38bff5a2fecc, 0xfca0598c_d880_4591_8c16_4eda05c7347c),
    // root-arm
    (0x69dad710_2ce4_4e3c_b16c_21a1d49abed3, 0x7386cdf2_203c_47a9_a498_f2ecce45a2d6),
    // usr-arm
    (0x7d0359a3_02b3_4f0a_865c_654403e70625, 0xc215d751_7bcd_4649_be90_6627490a4c05),
    // root-arm64
    (0xb921b045_1df0_41c3_af44_4c6f280d3fae, 0xdf3300ce_d69f_4c92_978c_9bfb0f38d820),
    // usr-arm64
    (0xb0e01050_ee5f_4390_949a_9101b17104e9, 0x6e11a4e7_fbca_4ded_b9e9_e1a512bb664e),
    // root-ia64
    (0x993d8d3d_f80e_4225_855a_9daf8ed7ea97, 0x86ed10d5_b607_45bb_8957_d350f23d0571),
    // usr-ia64
    (0x4301d2a6_4e3b_4b2a_bb94_9e0b2c4225ea, 0x6a491e03_3be7_4545_8e38_83320e0ea880),
    // root-loongarch64
    (0x77055800_792c_4f94_b39a_98c91b762bb6, 0xf3393b22_e9af_4613_a948_9d3bfbd0c535),
    // usr-loongarch64
    (0xe611c702_575c_4cbe_9a46_434fa0bf7e3f, 0xf46b2c26_59ae_48f0_9106_c50ed47f673d),
    // root-mips
    (0xe9434544_6e2c_47cc_bae2_12d6deafb44c, 0x7a430799_f711_4c7e_8e5b_1d685bd48607),
    // usr-mips
    (0x773b2abc_2a99_4398_8bf5_03baac40d02b, 0x6e5a1bc8_d223_49b7_bca8_37a5fcceb996),
    // root-mips64
    (0xd113af76_80ef_41b4_bdb6_0cff4d3d4a25, 0x579536f8_6a33_4055_a95a_df2d5e2c42a8),
    // usr-mips64
    (0x57e13958_7331_4365_8e6e_35eeee17c61b, 0x81cf9d90_7458_4df4_8dcf_c8a3a404f09b),
    // root-mips-le
    (0x37c58c8a_d913_4156_a25f_48b1b64e07f0, 0xd7d150d2_2a04_4a33_8f12_16651205ff7b),
    // usr-mips-le
    (0x0f4868e9_9952_4706_979f_3ed3a473e947, 0x46b98d8d_b55c_4e8f_aab3_37fca7f80752),
    // root-mips64-le
    (0x700bda43_7a34_4507_b179_eeb93d7a7ca3, 0x16b417f8_3e06_4f57_8dd2_9b5232f41aa6),
    // usr-mips64-le
    (0xc97c1f32_ba06_40b4_9f22_236061b08aa8, 0x3c3d61fe_b5f3_414d_bb71_8739a694a4ef),
    // root-parisc
    (0x1aacdb3b_5444_4138_bd9e_e5c2239b2346, 0xd212a430_fbc5_49f9_a983_a7feef2b8d0e),
    // usr-parisc
    (0xdc4a4480_6917_4262_a4ec_db9384949f25, 0x5843d618_ec37_48d7_9f12_cea8e08768b2),
    // root-ppc
    (0x1de3f1ef_fa98_47b5_8dcd_4a860a654d78, 0x98cfe649_1588_46dc_b2f0_add147424925),
    // usr-ppc
    (0x7d14fec5_cc71_415d_9d6c_06bf0b3c3eaf, 0xdf765d00_270e_49e5_bc75_f47bb2118b09),
    // root-ppc64
    (0x912ade1d_a839_4913_8964_a10eee08fbd2, 0x9225a9a3_3c19_4d89_b4f6_eeff88f17631),
    // usr-ppc64
    (0x2c9739e2_f068_46b3_9fd0_01c5a9afbcca, 0xbdb528a5_a259_475f_a87d_da53fa736a07),
    // root-ppc64-le
    (0xc31c45e6_3f39_412e_80fb_4809c4980599, 0x906bd944_4589_4aae_a4e4_dd983917446a),
    // usr-ppc64-le
    (0x15bb03af_77e7_4d4a_b12b_c0d084f7491c, 0xee2b9983_21e8_4153_86d9_b6901a54d1ce),
    // root-riscv32
    (0x60d5a7fe_8e7d_435c_b714_3dd8162144e1, 0xae0253be_1167_4007_ac68_43926c14c5de),
    // usr-riscv32
    (0xb933fb22_5c3f_4f91_af90_e2bb0fa50702, 0xcb1ee4e3_8cd0_4136_a0a4_aa61a32e8730),
    // root-riscv64
    (0x72ec70a6_cf74_40e6_bd49_4bda08e8f224, 0xb6ed5582_440b_4209_b8da_5ff7c419ea3d),
    // usr-riscv64
    (0xbeaec34b_8442_439b_a40b_984381ed097d, 0x8f1056be_9b05_47c4_81d6_be53128e5b54),
    // root-s390
    (0x08a7acea_624c_4a20_91e8_6e0fa67d23f9, 0x7ac63b47_b25c_463b_8df8_b4a94e6c90e1),
    // usr-s390
    (0xcd0f869b_d0fb_4ca0_b141_9ea87cc78d66, 0xb663c618_e7bc_4d6d_90aa_11b756bb1797),
    // root-s390x
    (0x5eead9a9_fe09_4a1e_a1d7_520d00531306, 0xb325bfbe_c7be_4ab8_8357_139e652d2f6b),
    // usr-s390x
    (0x8a4f5770_50aa_4ed3_874a_99b710db6fea, 0x31741cc4_1a2a_4111_a581_e00b447d2d06),
    // root-tilegx
    (0xc50cdd70_3862_4cc3_90e1_809a8c93ee2c, 0x966061ec_28e4_4b2e_b4a5_1f0a825a1d84),
    // usr-tilegx
    (0x55497029_c7c1_44cc_aa39_815ed1558630, 0x2fb4bf56_07fa_42da_8132_6b139f2026ae),
    // root-x86
    (0x44479540_f297_41b2_9af7_d131d5f0458a, 0xd13c5d3b_b5d1_422a_b29f_9454fdc89d76),
    // usr-x86
    (0x75250d76_8cc6_458e_bd66_bd47cc81a812, 0x8f461b0d_14ee_4e81_9aa9_049b6fb97abd),
    // root-x86-64
    (0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709, 0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5),
    // usr-x86-64
    (0x8484680c_9521_48c6_9c11_b0720656f69e, 0x77ff5f63_e7b6_4633_acf4_1565b864c0e6),
];

/// The type of the data whose hash tree is in partitions of a type; None where that is no type for
/// hash trees.
pub(crate) fn data_type_of(hash_type: Uuid) -> Option<Uuid> {
    let mut pairs = PAIRS.iter();
    let pair = pairs.find(|(_, hash)| Uuid::from_u128(*hash) == hash_type)?;
    Some(Uuid::from_u128(pair.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_type_has_one_meaning() {
        let all: BTreeSet<u128> = PAIRS
            .iter()
            .flat_map(|(data, hash)| [*data, *hash])
            .collect();
        assert_eq!(all.len(), 2 * PAIRS.len());
        let uuid = |text: &str| text.parse::<Uuid>().unwrap();
        let root = uuid("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
        let verity = uuid("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
        assert_eq!(data_type_of(verity), Some(root));
        assert_eq!(data_type_of(root), None);
    }
}
