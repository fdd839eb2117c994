//! What psmith itself writes to a terminal while rows are drawn there: the rows step aside for it.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::shared::BoardShared;

/// The boards of this program that draw rows in place.
static SCREENS: Mutex<Vec<Weak<BoardShared>>> = Mutex::new(Vec::new());

pub(super) fn register(screen: &Arc<BoardShared>) {
    let mut screens = SCREENS.lock().unwrap_or_else(PoisonError::into_inner);
    screens.retain(|screen| screen.strong_count() > 0);
    screens.push(Arc::downgrade(screen));
}

/// Writes to this stream, while no rows are drawn if it is a terminal. Which terminal is not asked: rows that step aside
/// for nothing are back at once.
pub fn beside_rows<S: IsTerminal>(stream: &mut S, write: impl FnOnce(&mut S)) {
    let screens: Vec<Arc<BoardShared>> = {
        let screens = SCREENS.lock().unwrap_or_else(PoisonError::into_inner);
        screens.iter().filter_map(Weak::upgrade).collect()
    };
    if screens.is_empty() || !stream.is_terminal() {
        return write(stream);
    }
    let _aside: Vec<Aside<'_>> = screens.iter().map(|screen| Aside::begin(screen)).collect();
    write(stream);
}

/// While it lives no rows are drawn on this board.
struct Aside<'s>(&'s BoardShared);

impl Aside<'_> {
    fn begin(screen: &BoardShared) -> Aside<'_> {
        screen.step_aside();
        Aside(screen)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.step_back();
    }
}
