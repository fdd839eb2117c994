//! Output of psmith itself to a terminal on which rows are drawn: the rows are erased while it is written. Never draws.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use crate::shared::{BoardShared, DRAWS};

/// The boards of this program that draw rows in place.
static SCREENS: Mutex<Vec<Weak<BoardShared>>> = Mutex::new(Vec::new());

pub(super) fn register(screen: &Arc<BoardShared>) {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(stand_aside_in_panics);
    let mut screens = SCREENS.lock().unwrap_or_else(PoisonError::into_inner);
    screens.retain(|screen| screen.strong_count() > 0);
    screens.push(Arc::downgrade(screen));
}

/// Has the message of a panic, which may have many lines, written where no rows are drawn. The hook that there was before
/// writes it.
fn stand_aside_in_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if DRAWS.get() {
            // A formatter's: this thread cannot wait for itself.
            return before(panic);
        }
        beside_rows(&mut std::io::stderr(), |_| before(panic));
    }));
}

/// Writes to this stream; no rows are drawn meanwhile if it is a terminal. The rows of every board are erased, on
/// whatever terminal they are: those on another one are drawn again at once.
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

/// A guard: no rows are drawn on this board until it is dropped.
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
