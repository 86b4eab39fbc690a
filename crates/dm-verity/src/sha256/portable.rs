//! One block at a time, by the `sha2` crate, which knows its own way to the
//! CPU's instructions for one message.

use sha2::block_api::compress256;

use super::{
    run::BlockGroup,
    salted::{Salted, to_digest},
};

pub(super) fn digest(salted: &Salted, group: BlockGroup<'_, 1>) {
    let mut state = salted.state();
    salted.each_run(&group, |[chunks]| compress256(&mut state, chunks));
    *group.digests = [to_digest(state)];
}
