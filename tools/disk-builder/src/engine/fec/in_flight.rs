//! Keeps threads near each other. No I/O.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// The strips that threads are in. What is not yet whole of the tree is beside those that are not
/// done, so nobody goes on far beyond the last one.
#[derive(Debug)]
pub(super) struct StripsInFlight {
    strips: Mutex<BTreeSet<u64>>,
    done: Condvar,
    /// How far the first and the last may be from each other.
    reach: u64,
}

/// A thread is in a strip as long as it has this.
#[derive(Debug)]
pub(super) struct InStrip<'a> {
    all: &'a StripsInFlight,
    index: u64,
}

impl StripsInFlight {
    pub(super) fn new(reach: u64) -> Self {
        Self {
            strips: Mutex::default(),
            done: Condvar::new(),
            reach,
        }
    }

    /// Waits until this strip is near to all that are not done. Strips are begun in ascending order.
    pub(super) fn begin(&self, index: u64) -> InStrip<'_> {
        let mut strips = self.lock();
        strips.insert(index);
        let is_far = |strips: &mut BTreeSet<u64>| {
            strips
                .first()
                .is_some_and(|first| index - first > self.reach)
        };
        drop(
            self.done
                .wait_while(strips, is_far)
                .unwrap_or_else(PoisonError::into_inner),
        );
        InStrip { all: self, index }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.strips.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InStrip<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.index);
        self.all.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn who_is_far_waits_for_the_first() {
        let all = StripsInFlight::new(2);
        let [first, second] = [0, 1].map(|index| all.begin(index));
        drop(all.begin(2));
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let all = &all;
            scope.spawn(move || {
                drop(all.begin(3));
                tell.send(()).unwrap();
            });
            // It is there, and waits.
            while !all.lock().contains(&3) {
                thread::yield_now();
            }
            drop(second);
            assert!(told.try_recv().is_err());
            drop(first);
            told.recv().unwrap();
        });
        assert!(all.lock().is_empty());
    }
}
