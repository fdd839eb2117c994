//! Names: addresses in a program or library become functions, files and lines. Reads files only, never a process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use addr2line::{Loader, demangle_auto};

use crate::stacks::Frame;

/// The symbol tables that have been read so far.
#[derive(Default)]
pub(super) struct SymbolNames {
    loaders: HashMap<PathBuf, Option<Loader>>,
}

impl SymbolNames {
    /// Appends the functions that `at` lies in, the innermost first: several where some were put into others.
    pub(super) fn frames(&mut self, file: &Path, (path, at): (&Path, u64), frames: &mut Vec<Frame>) {
        let loader = self.loaders.entry(file.to_owned()).or_insert_with(|| Loader::new(file).ok());
        let object = Some((path.to_owned(), at));
        let begin = frames.len();
        if let Some(loader) = loader {
            frames.extend(
                inlined(loader, at).into_iter().map(|frame| Frame { object: object.clone(), ..frame }),
            );
            // Without debug information the table of symbols still knows the function.
            if frames.len() == begin || frames[begin..].iter().all(|frame| frame.function.is_none()) {
                frames.truncate(begin);
                let symbol = loader.find_symbol(at).map(|name| demangle_auto(name.into(), None).into_owned());
                frames.push(Frame { function: symbol, file: None, line: None, object: object.clone() });
            }
        }
        if frames.len() == begin {
            frames.push(Frame { function: None, file: None, line: None, object });
        }
    }
}

fn inlined(loader: &Loader, at: u64) -> Vec<Frame> {
    let mut found = Vec::new();
    let Ok(mut frames) = loader.find_frames(at) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
        let (file, line) = frame.location.map_or((None, None), |place| (place.file, place.line));
        found.push(Frame {
            function: name.map(std::borrow::Cow::into_owned),
            file: file.map(PathBuf::from),
            line,
            object: None,
        });
    }
    found
}
