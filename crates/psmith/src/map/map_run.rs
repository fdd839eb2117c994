//! The running state of a map: its run, and how its inputs are handed in. Takes no items itself, and calls no hook.

use std::sync::Arc;

use crate::job::callee::Callee;
use crate::job::job::Request;
use crate::run::input_block::ResultBlock;
use crate::run::input_buffer::INPUT_BYTES_MAX;
use crate::run::input_writer::InputWriter;
use crate::run::options::Options;
use crate::run::run::Run;
use crate::run::run_event::Wants;
use crate::run::submitter::Submitter;
use psmith_engine::EngineError;
use psmith_engine::function::codec::Codec;

/// The most inputs that are taken ahead where no window was asked for and jobs are short.
const WINDOW_MAX: u64 = 32 * 1024;

/// The stage of a map's iterator.
pub(super) enum MapStage {
    Before,
    Inline,
    Running(Box<MapRun>),
    Over,
}

impl MapStage {
    /// Returns the run, if there is one now.
    pub(super) fn run(&self) -> Option<&Run> {
        match self {
            MapStage::Running(running) => Some(&running.run),
            MapStage::Before | MapStage::Inline | MapStage::Over => None,
        }
    }
}

/// A map's run, once its first item was taken.
pub(super) struct MapRun {
    pub(super) run: Run,
    pub(super) submitter: Submitter,
    callee: Arc<Callee>,
    pub(super) window: u64,
    /// The most that the window grows to, where jobs are short.
    window_max: u64,
    /// The writer that hands in short inputs together, where that is allowed.
    pub(super) input_writer: Option<InputWriter>,
    /// Values that arrived together and are not handed out.
    pub(super) results: Option<Box<ResultBlock>>,
    /// The buffer in which inputs are encoded.
    input: Vec<u8>,
}

impl MapRun {
    /// Begins the run of a map with this many workers. No process is started before the first input.
    pub(super) fn begin(
        options: &Options,
        workers: u32,
        wants: Wants,
        callee: Callee,
    ) -> Result<MapRun, EngineError> {
        let blocks = wants.blocks;
        let (run, submitter) = Run::begin(options, workers, wants)?;
        let callee = Arc::new(callee);
        let window = u64::from(options.window_in_force(workers));
        let window_max = if options.window.is_some() { window } else { WINDOW_MAX.max(window) };
        let input_writer = blocks.then(|| InputWriter::new(&submitter, &callee));
        Ok(MapRun {
            run,
            submitter,
            callee,
            window,
            window_max,
            input_writer,
            results: None,
            input: Vec::new(),
        })
    }

    /// Hands in one item.
    pub(super) fn submit<A, C: Codec<A>>(&mut self, item: &A) {
        if let Some(input_writer) = &mut self.input_writer {
            self.input.clear();
            let bytes_max = self.run.frame_bytes_max();
            let encoded = Request::encode::<A, C>(&self.callee, item, bytes_max, &mut self.input);
            if encoded.is_ok() && self.input.len() <= INPUT_BYTES_MAX {
                let wanted = input_writer.add(&self.input);
                self.window = self.window.max(wanted.min(self.window_max));
                return;
            }
            let request = Request::of_encoded(&self.callee, std::mem::take(&mut self.input));
            return input_writer.submit(&self.submitter, Request { refused: encoded.err(), ..request });
        }
        self.submitter.submit(self.request::<A, C>(item));
    }

    /// Makes the job of one item.
    pub(super) fn request<A, C: Codec<A>>(&self, item: &A) -> Request {
        Request::new::<A, C>(&self.callee, item, self.run.frame_bytes_max())
    }
}
