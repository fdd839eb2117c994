//! Imports among the files of a crate, read from its `use` declarations and from paths such as `crate::a::b`.
//!
//! A name that a module only re-exports is followed to the module that defines it, so that a re-export hides no tie.
//! Tests are left out: they may use anything. Macros and `#[path]` are not understood.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::rust_files::is_test_file;
use crate::source::Source;
use crate::tokens::{self, Token};

/// The greatest number of modules through which a re-exported name is followed.
const STEPS_MAX: usize = 8;

/// A module's path below its crate: `["api", "pool"]`.
pub(super) type ModulePath = Vec<String>;

/// The modules of a crate, and their use of each other.
#[derive(Default)]
pub(super) struct Imports {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    file: PathBuf,
    /// Names that its `use` declarations bring in, with their origins.
    names: BTreeMap<String, Vec<String>>,
    /// All paths that it mentions, and those of its `use` declarations.
    paths: Vec<Vec<String>>,
}

impl Imports {
    /// Adds a file, by its path below the crate's `src`.
    pub(super) fn add(&mut self, below_src: &Path, source: &Source) {
        if is_test_file(below_src) || below_src.starts_with("bin") {
            return;
        }
        let module = module_path(below_src);
        // A package's program beside its library of the same place: the library has the modules.
        if below_src == Path::new("main.rs") && self.modules.contains_key(&module) {
            return;
        }
        let (names, paths) = mentioned(&tokens::before_tests(source));
        self.modules.insert(module, Module { file: below_src.to_owned(), names, paths });
    }

    /// Returns pairs of modules of which the first uses the second.
    pub(super) fn edges(&self) -> BTreeSet<(&ModulePath, &ModulePath)> {
        let mut edges = BTreeSet::new();
        for (path, module) in &self.modules {
            for mentioned in &module.paths {
                let used = self.resolve(path, mentioned, STEPS_MAX);
                if let Some((used, _)) = used.and_then(|used| self.modules.get_key_value(&used))
                    && used != path
                {
                    edges.insert((path, used));
                }
            }
        }
        edges
    }

    /// Returns the file of a module, below `src`.
    pub(super) fn file(&self, module: &ModulePath) -> &Path {
        &self.modules[module].file
    }

    /// Returns the modules.
    pub(super) fn modules(&self) -> impl Iterator<Item = &ModulePath> {
        self.modules.keys()
    }

    /// Returns the module that defines the last named item, or none if the path leads out of the crate.
    fn resolve(&self, from: &ModulePath, path: &[String], steps: usize) -> Option<ModulePath> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ => {
                let child = joined(from, first);
                if !self.modules.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        while let Some((name, after)) = rest.split_first() {
            let child = joined(&module, name);
            if name == "super" {
                module.pop()?;
            } else if self.modules.contains_key(&child) {
                module = child;
            } else {
                let handed_on = self.modules.get(&module).and_then(|module| module.names.get(name));
                let Some(origin) = handed_on.filter(|_| steps > 0) else { break };
                let mut whole = origin.clone();
                whole.extend_from_slice(after);
                // An item of another crate counts as defined in the module that imports it.
                return self.resolve(&module, &whole, steps - 1).or(Some(module));
            }
            rest = after;
        }
        Some(module)
    }
}

fn joined(module: &ModulePath, name: &str) -> ModulePath {
    let mut joined = module.clone();
    joined.push(name.to_owned());
    joined
}

/// Returns the module of a file: `a/mod.rs` and `a.rs` are the module `a`, `lib.rs` and `main.rs` the crate.
fn module_path(below_src: &Path) -> ModulePath {
    let mut path: ModulePath = below_src
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] || path == ["main"] {
        path.pop();
    }
    path
}

/// Returns the names that `use` declarations bring in, and all paths that begin within the crate.
fn mentioned(tokens: &[Token<'_>]) -> (BTreeMap<String, Vec<String>>, Vec<Vec<String>>) {
    let (mut names, mut paths) = (BTreeMap::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        if token.text == "use" {
            at = use_tree(tokens, at + 1, &[], &mut |name, path| {
                names.insert(name.to_owned(), path.clone());
                paths.push(path);
            });
        } else if ["crate", "self", "super"].contains(&token.text) && has_next(tokens, at) {
            let (path, after) = plain_path(tokens, at);
            paths.push(path);
            at = after;
        } else {
            at += 1;
        }
    }
    (names, paths)
}

fn has_next(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|token| token.text == "::")
}

/// Returns the words of `a::b::c`, and the index after them.
fn plain_path(tokens: &[Token<'_>], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(word) = tokens.get(at).filter(|token| token.is_word()) {
        path.push(word.text.to_owned());
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    (path, at)
}

/// Reads one tree of a `use` declaration, and reports each name in it with its path. Returns the index after it.
fn use_tree(
    tokens: &[Token<'_>],
    at: usize,
    above: &[String],
    on_name: &mut impl FnMut(&str, Vec<String>),
) -> usize {
    let (more, mut at) = plain_path(tokens, at);
    let mut path = above.to_vec();
    path.extend(more);
    match tokens.get(at).map_or("", |token| token.text) {
        "{" => {
            let end = tokens::after_closing(tokens, at);
            at += 1;
            while at + 1 < end {
                at = if tokens[at].text == "," {
                    at + 1
                } else {
                    use_tree(tokens, at, &path, on_name).max(at + 1)
                };
            }
            end
        }
        "*" => {
            on_name("*", path);
            at + 1
        }
        _ => {
            // `use a::{self}` brings in `a`.
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let renamed = tokens.get(at).filter(|token| token.text == "as").and_then(|_| tokens.get(at + 1));
            if let Some(renamed) = renamed {
                on_name(renamed.text, path);
                return at + 2;
            }
            if let Some(name) = path.last().cloned() {
                on_name(&name, path);
            }
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Imports {
        let mut imports = Imports::default();
        for (file, text) in files {
            imports.add(Path::new(file), &Source::new(text));
        }
        imports
    }

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let imports = imports(files);
        imports
            .edges()
            .iter()
            .map(|(user, used)| format!("{} -> {}", user.join("/"), used.join("/")))
            .collect()
    }

    #[test]
    fn uses_and_paths_are_ties() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a/mod.rs", "mod c;\npub use c::C;\n"),
            ("a/c.rs", "use super::super::b::{self, B as D};\nfn f() { crate::b::g(self::x) }\n"),
            ("b.rs", "use std::fmt;\nuse crate::{a::c};\n"),
        ];
        assert_eq!(edges(&files), ["a -> a/c", "a/c -> b", "b -> a/c"]);
    }

    #[test]
    fn a_name_that_is_handed_on_leads_to_its_home() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::c::{C, E as F};\npub use other::X;\n"),
            ("a/mod.rs", "pub mod c;\n"),
            ("a/c.rs", "pub struct C;\npub struct E;\n"),
            ("b.rs", "use crate::C;\nuse crate::X;\nfn f(_: crate::F) {}\n"),
        ];
        assert_eq!(edges(&files), [" -> a/c", "b -> ", "b -> a/c"]);
    }

    #[test]
    fn tests_may_look_anywhere() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n"),
            ("a/tests.rs", "use crate::b;\n"),
            ("b.rs", ""),
        ];
        assert_eq!(edges(&files), Vec::<String>::new());
    }
}
