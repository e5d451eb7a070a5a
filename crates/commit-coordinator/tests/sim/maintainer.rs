//! Somebody who rewrites files of the table, and takes so long over it that everything else happens meanwhile.

use super::parts::{SimTransport, World};
use commit_coordinator::memory::{MemoryFiles, MemoryTable};
use commit_coordinator::{Claim, Delta, PendingAnswer, Transport, WeakTransport};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

type Files = Arc<MemoryFiles>;

pub struct Maintainer {
    pub number: u64,
    pub table: Arc<MemoryTable>,
    /// The coordinators that were up when it began. It keeps none of them alive.
    pub doors: Vec<(u64, WeakTransport<Files>)>,
    pub world: Arc<World>,
}

impl Maintainer {
    /// Rewrites one run of files and offers it, some more than once.
    pub async fn run(self) {
        let world = &self.world;
        world.delay(10).await;
        let Some(files) = self.write() else { return };
        let long = if world.roll(0..3) == 0 { 4_000 } else { 600 };
        world.delay(long).await;
        if world.one_in(12) {
            world.note(format!("maintainer {} CRASHES before its offer", self.number));
            return;
        }
        let delta = Arc::new(Delta { claim: Claim::rewrite(), files: Some(files) });
        for time in 0..3 {
            if time > 0 {
                world.note(format!("maintainer {} offers the same again", self.number));
            }
            let Some(answer) = self.offer(&delta).await else { continue };
            if world.one_in(12) {
                world.note(format!("maintainer {} CRASHES before its answer", self.number));
                return;
            }
            let answer = timeout(Duration::from_secs(3), answer).await;
            if matches!(answer, Ok(Ok(_))) && !world.one_in(6) {
                return;
            }
        }
    }

    /// The rows of a run of live files, in one file.
    fn write(&self) -> Option<Files> {
        let world = &self.world;
        let live = self.table.live();
        let mut sequences: Vec<i64> = live.iter().map(|(sequence, _)| *sequence).collect();
        sequences.dedup();
        let count = sequences.len() as u64;
        if count == 0 {
            return None;
        }
        // Every other run begins at the oldest file: what it deletes is gone for good then.
        let first = if world.roll(0..2) == 0 { 0 } else { world.roll(0..count) };
        let last = world.roll(first..count);
        let run = sequences[usize::try_from(first).unwrap()]..=sequences[usize::try_from(last).unwrap()];
        world.note(format!("maintainer {} rewrites the files of {run:?} in {sequences:?}", self.number));
        MemoryFiles::rewrite(&live, run)
    }

    /// Through the door of a coordinator that is still up; `None` if there is none any more.
    async fn offer(&self, delta: &Arc<Delta<Files>>) -> Option<PendingAnswer> {
        let doors = self.doors.iter().filter_map(|(number, door)| Some((*number, door.upgrade()?))).collect();
        let transport = SimTransport { doors: Arc::new(Mutex::new(doors)), world: Arc::clone(&self.world) };
        transport.offer(Arc::clone(delta)).await.ok()
    }
}
