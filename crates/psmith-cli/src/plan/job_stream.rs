//! Stream of a run's jobs, one after the other: rows gathered into batches. Never starts one.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use super::CompiledCommand;
use crate::batch_size::BatchSize;
use crate::input::{InputError, InputRows, JobArgs};
use crate::pipe::{BlockJobs, JobStdin};

/// The jobs of a run, in order. Iteration blocks while the input blocks.
#[derive(Debug)]
pub struct JobStream {
    rows: InputRows,
    batch: BatchSize,
    skip_empty: bool,
    slots: u32,
    shuffle: Option<u64>,
    shuffled: Option<Shuffled>,
    command: Arc<CompiledCommand>,
    /// The batches that are ready: those of the end of the input.
    ready: VecDeque<JobArgs>,
    /// A row that did not fit into the batch before.
    pushed_back: Option<JobArgs>,
    /// With `--pipe`: what the jobs are made of, and the stdin of the last one.
    blocks: Option<BlockJobs>,
    stdin: Option<JobStdin>,
    ended: bool,
}

/// The rows in memory, and the order in which they are taken, last first.
#[derive(Debug)]
struct Shuffled {
    values: JobArgs,
    ends: Vec<usize>,
    order: Vec<usize>,
}

impl JobStream {
    pub(crate) fn new(
        rows: InputRows,
        batch: BatchSize,
        skip_empty: bool,
        shuffle: Option<Option<u64>>,
        command: Arc<CompiledCommand>,
    ) -> JobStream {
        let shuffle = shuffle.map(|seed| seed.unwrap_or_else(random_seed));
        JobStream {
            rows,
            batch,
            skip_empty,
            slots: 1,
            shuffle,
            shuffled: None,
            command,
            ready: VecDeque::new(),
            pushed_back: None,
            blocks: None,
            stdin: None,
            ended: false,
        }
    }

    /// Makes the jobs of these blocks instead, if there are some.
    pub(crate) fn set_blocks(&mut self, blocks: Option<BlockJobs>) {
        self.blocks = blocks;
    }

    /// Takes the stdin of the job that was made last; `None` without `--pipe`.
    pub(crate) fn take_stdin(&mut self) -> Option<JobStdin> {
        self.stdin.take()
    }

    /// Sets the number of slots among which the last inputs of `-X` and `-m` are divided; 1 unless this is called.
    pub fn set_slots(&mut self, slots: u32) {
        self.slots = slots.max(1);
    }

    /// Returns warnings about the input, once it has ended. Each is fit to follow `psmith: warning: `.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self.rows.left_over() {
            0 => Vec::new(),
            1 => vec!["1 value left over, its linked source (:::+) is shorter".to_owned()],
            count => vec![format!("{count} values left over, their linked source (:::+) is shorter")],
        }
    }

    fn next_row(&mut self, out: &mut JobArgs) -> Result<bool, InputError> {
        if let Some(row) = self.pushed_back.take() {
            out.append(&row);
            return Ok(true);
        }
        if self.shuffle.is_some() {
            return self.next_shuffled(out);
        }
        self.next_in_order(out)
    }

    fn next_in_order(&mut self, out: &mut JobArgs) -> Result<bool, InputError> {
        let before = out.len();
        while self.rows.next_into(out)? {
            if !self.skip_empty || out.iter_from(before).any(|value| !value.is_empty()) {
                return Ok(true);
            }
            out.truncate(before);
        }
        Ok(false)
    }

    fn next_shuffled(&mut self, out: &mut JobArgs) -> Result<bool, InputError> {
        if self.shuffled.is_none() {
            let mut values = JobArgs::default();
            let mut ends = Vec::new();
            while self.next_in_order(&mut values)? {
                ends.push(values.len());
            }
            let order = permutation(ends.len(), self.shuffle.unwrap_or_default());
            self.shuffled = Some(Shuffled { values, ends, order });
        }
        let Some(shuffled) = &mut self.shuffled else { return Ok(false) };
        let Some(row) = shuffled.order.pop() else { return Ok(false) };
        let start = if row == 0 { 0 } else { shuffled.ends[row - 1] };
        out.append_range(&shuffled.values, start, shuffled.ends[row]);
        Ok(true)
    }

    fn next_job(&mut self) -> Result<Option<JobArgs>, InputError> {
        if let Some(blocks) = &mut self.blocks {
            let Some((args, stdin)) = blocks.next()? else { return Ok(None) };
            self.stdin = Some(stdin);
            return Ok(Some(args));
        }
        let mut job = JobArgs::default();
        match self.batch {
            BatchSize::One => Ok(self.next_row(&mut job)?.then_some(job)),
            BatchSize::CountOnly => {
                let more = self.next_row(&mut job)?;
                job.clear();
                Ok(more.then_some(job))
            }
            BatchSize::UpTo { max, .. } => self.next_fit(max, false),
            BatchSize::Fit { max, .. } => self.next_fit(max.unwrap_or(u64::MAX), true),
        }
    }

    /// Returns all rows that the kernel accepts, at most `max`. The rows of the last batch are divided among the slots
    /// if `spread`.
    fn next_fit(&mut self, max: u64, spread: bool) -> Result<Option<JobArgs>, InputError> {
        if let Some(job) = self.ready.pop_front() {
            return Ok(Some(job));
        }
        let mut job = JobArgs::default();
        let mut ends = Vec::new();
        let command = Arc::clone(&self.command);
        let mut meter = command.meter();
        while (ends.len() as u64) < max {
            let before = job.len();
            if !self.next_row(&mut job)? {
                return Ok(if spread { self.spread(&job, &ends) } else { (!ends.is_empty()).then_some(job) });
            }
            let added: Vec<&[u8]> = job.iter_from(before).collect();
            if !meter.add(&added) && !ends.is_empty() {
                let mut row = JobArgs::default();
                row.append_range(&job, before, job.len());
                self.pushed_back = Some(row);
                job.truncate(before);
                return Ok(Some(job));
            }
            ends.push(job.len());
        }
        Ok(Some(job))
    }

    fn spread(&mut self, all: &JobArgs, ends: &[usize]) -> Option<JobArgs> {
        if ends.is_empty() {
            return None;
        }
        let share = ends.len().div_ceil(self.slots as usize);
        let mut start = 0;
        for last in ends.chunks(share).filter_map(<[usize]>::last) {
            let mut job = JobArgs::default();
            job.append_range(all, start, *last);
            start = *last;
            self.ready.push_back(job);
        }
        self.ready.pop_front()
    }
}

impl Iterator for JobStream {
    type Item = Result<JobArgs, InputError>;

    /// Returns the next job; after an error, and after the end, none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_job().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn random_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Returns the numbers below `count` in an order that the seed decides.
fn permutation(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut random = move || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let other = ((u128::from(random()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, other);
    }
    order
}
