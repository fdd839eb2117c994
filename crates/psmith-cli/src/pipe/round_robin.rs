//! Distribution of blocks among jobs that each take as many as they can.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::feeder::stdin_pipe;

/// The jobs' ends of blocks, with what each has not yet taken.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    jobs: Vec<Receiver>,
    /// The job that is next, if they are served strictly in turn.
    turn: usize,
}

#[derive(Debug)]
struct Receiver {
    /// `None` once the job takes no more.
    pipe: Option<OwnedFd>,
    block: Vec<u8>,
    taken: usize,
}

impl RoundRobin {
    /// Adds a job with its first block; returns the end from which it reads.
    pub(super) fn add(&mut self, block: Vec<u8>) -> io::Result<OwnedFd> {
        let (reader, writer) = stdin_pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        self.jobs.push(Receiver { pipe: Some(writer), block, taken: 0 });
        self.write_all_that_fit()?;
        Ok(reader)
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Gives a block to the next job that has taken its own, or strictly to the next; waits for it. Returns false if no
    /// job takes any more.
    pub(super) fn give(&mut self, block: &[u8], in_turn: bool) -> io::Result<bool> {
        loop {
            self.write_all_that_fit()?;
            if self.jobs.iter().all(|job| job.pipe.is_none()) {
                return Ok(false);
            }
            let first = self.turn;
            let count = if in_turn { 1 } else { self.jobs.len() };
            let ready = (first..first + count)
                .map(|index| index % self.jobs.len())
                .find(|index| self.jobs[*index].is_ready() || in_turn && self.jobs[*index].pipe.is_none());
            if let Some(index) = ready {
                self.turn = (index + 1) % self.jobs.len();
                let job = &mut self.jobs[index];
                // In turn, the block of a job that takes no more is lost, as what it had not yet read is.
                if job.pipe.is_some() {
                    job.block.clear();
                    job.block.extend_from_slice(block);
                    job.taken = 0;
                    job.write()?;
                }
                return Ok(true);
            }
            self.wait()?;
        }
    }

    /// Gives what is left to those who take it, and the end to each.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        loop {
            self.write_all_that_fit()?;
            for job in &mut self.jobs {
                if job.is_ready() {
                    job.pipe = None;
                }
            }
            if self.jobs.iter().all(|job| job.pipe.is_none()) {
                return Ok(());
            }
            self.wait()?;
        }
    }

    fn write_all_that_fit(&mut self) -> io::Result<()> {
        self.jobs.iter_mut().try_for_each(Receiver::write)
    }

    fn wait(&self) -> io::Result<()> {
        let waiting = self.jobs.iter().filter(|job| !job.is_ready()).filter_map(|job| job.pipe.as_ref());
        let mut fds: Vec<PollFd<'_>> = waiting.map(|pipe| PollFd::new(pipe, PollFlags::OUT)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Receiver {
    /// Returns whether it can take another block.
    fn is_ready(&self) -> bool {
        self.pipe.is_some() && self.taken == self.block.len()
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(pipe) = &self.pipe
            && self.taken < self.block.len()
        {
            match rustix::io::write(pipe, &self.block[self.taken..]) {
                Ok(written) => self.taken += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // The job takes no more; its neighbours do.
                Err(Errno::PIPE) => self.pipe = None,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
