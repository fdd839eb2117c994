//! Interaction with a person: signals and keys, and the terminal that shows their effects. Never ends a job itself.

use std::time::Duration;

use psmith_engine::handler::{EngineCommand, View};

use super::keys::KeyCommand;
use super::reporting::ProgressForm;
use super::run_handler::RunHandler;
use super::setup::{columns, slots_most};
use super::signal_requests::SignalRequest;
use crate::report::standing::StatusLine;
use crate::report::summary::failures_so_far;

/// The list of keys, shown on request.
const HELP: &str = "psmith: keys: t running jobs with their last lines, + - width, p pause and go, d drain, \
                    f failures so far, ? this\n";

impl RunHandler {
    pub(super) fn on_signal(
        &mut self,
        request: SignalRequest,
        view: &View<'_>,
        commands: &mut Vec<EngineCommand>,
    ) {
        match request {
            SignalRequest::End(signal) => commands.push(self.stop.interrupt(signal, false)),
            SignalRequest::Kill(signal) => commands.push(self.stop.interrupt(signal, true)),
            SignalRequest::Drain => commands.push(EngineCommand::Drain),
            SignalRequest::Suspend => commands.push(EngineCommand::Suspend),
            SignalRequest::List => {
                let list = self.reporting.running_list(view, &self.standing(view));
                self.writer.message(list);
            }
            SignalRequest::Reap => commands.push(EngineCommand::ReapStrangers),
            SignalRequest::Redraw => self.redraw(),
        }
    }

    pub(super) fn on_key(&mut self, key: KeyCommand, view: &View<'_>, commands: &mut Vec<EngineCommand>) {
        let slots = self.controls.slots.now();
        match key {
            KeyCommand::Running => {
                let running = self.reporting.running_text(view.now, &self.standing(view));
                running.into_iter().for_each(|text| self.writer.message(text));
            }
            KeyCommand::Wider => self.set_slots(slots.saturating_add(1).min(slots_most()), commands),
            KeyCommand::Narrower => self.set_slots(slots.saturating_sub(1).max(1), commands),
            KeyCommand::Pause => {
                let is_paused = self.controls.toggle_pause(commands);
                self.writer.message(if is_paused {
                    "psmith: paused: running jobs go on, none starts; p goes on\n".to_owned()
                } else {
                    "psmith: going on\n".to_owned()
                });
            }
            KeyCommand::Drain => {
                commands.push(EngineCommand::Drain);
                self.writer.message("psmith: draining: running jobs go on, no more start\n".to_owned());
            }
            KeyCommand::Failures => {
                let failures = failures_so_far(&self.reporting.tally, self.reporting.columns);
                self.writer.message(failures);
            }
            KeyCommand::Help => self.writer.message(HELP.to_owned()),
        }
    }

    fn set_slots(&mut self, slots: u32, commands: &mut Vec<EngineCommand>) {
        self.controls.slots.set(slots, commands);
        self.writer.message(format!("psmith: {slots} slot{}\n", if slots == 1 { "" } else { "s" }));
    }

    fn standing(&self, view: &View<'_>) -> StatusLine {
        self.reporting.standing(self.inputs.to_run(), view)
    }

    /// Shows the run's progress, if it is time to. Returns the time of the next call.
    pub(super) fn tick_progress(&mut self, view: &View<'_>) -> Option<Duration> {
        match self.reporting.progress {
            ProgressForm::Failures => None,
            ProgressForm::Plain => {
                let standing = self.standing(view);
                Some(self.reporting.tick_lines(view.now, &standing, &self.writer))
            }
            // The input is being typed; a board would be drawn into it.
            ProgressForm::Board if self.inputs.are_being_typed() => None,
            ProgressForm::Board => {
                let standing = self.standing(view);
                let keys = self.controls.keys.as_mut();
                self.reporting.tick_board(view.now, &standing, &self.writer, keys)
            }
        }
    }

    /// Draws again: the screen may show other output by now, and the keys and the width may have changed.
    pub(super) fn redraw(&mut self) {
        if let Some(keys) = &mut self.controls.keys {
            keys.take_again();
        }
        self.reporting.redraw(columns());
    }

    /// Restores the terminal before the stop by Ctrl-Z.
    pub(super) fn leave_terminal(&mut self) {
        if let Some(keys) = &mut self.controls.keys {
            keys.give_back();
        }
        if self.reporting.board.is_some() {
            self.writer.clear_board();
        }
    }
}
