//! A table whose keys are numbers, such as those of jobs and workers.
//!
//! Keys that lie close together share a page, and only pages are searched for: with many thousand entries that is
//! several times cheaper than a tree of entries, whose leaves are never in the processor's cache. A page is removed
//! with its last entry, so memory follows the number of entries, however far apart the oldest and the youngest lie.
//!
//! All tables by number in these crates are of this type, and not `BTreeMap`s: each type of value that goes into a
//! `BTreeMap` adds some 9,000 lines of the compiler's intermediate code to a program, this one some 500.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

/// The number of keys of a page.
const PAGE_KEYS: u64 = 64;

/// A number that can be the key of a [`Table`].
pub trait TableKey: Copy {
    /// Returns the key with this number.
    fn from_number(number: u64) -> Self;
    /// Returns the number of this key.
    fn number(self) -> u64;
}

impl TableKey for u64 {
    fn from_number(number: u64) -> u64 {
        number
    }

    fn number(self) -> u64 {
        self
    }
}

/// A table by number, in the order of the numbers.
pub struct Table<K, T> {
    /// The pages with at least one entry, in the order of their numbers.
    pages: Vec<Page<T>>,
    /// An empty page, for the next one that is needed: with few entries one is removed and added all the time.
    spare: Option<Page<T>>,
    len: usize,
    key: PhantomData<K>,
}

struct Page<T> {
    /// The first key of the page, divided by the number of keys of a page.
    number: u64,
    entries: Box<[Option<T>]>,
    len: u32,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Table<K, T> {
        Table { pages: Vec::new(), spare: None, len: 0, key: PhantomData }
    }
}

impl<K: TableKey + fmt::Debug, T: fmt::Debug> fmt::Debug for Table<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Returns the number of a key's page, and the key's index there.
fn place(key: impl TableKey) -> (u64, usize) {
    let key = key.number();
    (key / PAGE_KEYS, (key % PAGE_KEYS) as usize)
}

impl<K: TableKey, T> Table<K, T> {
    /// Returns an empty table. It allocates nothing.
    pub fn new() -> Table<K, T> {
        Table::default()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the index of a page, or the one where it belongs.
    fn find(&self, number: u64) -> Result<usize, usize> {
        self.pages.binary_search_by(|page| page.number.cmp(&number))
    }

    /// Returns the entry of `key`.
    pub fn get(&self, key: K) -> Option<&T> {
        let (page, at) = place(key);
        self.pages[self.find(page).ok()?].entries[at].as_ref()
    }

    /// Returns the entry of `key`, to be changed.
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (page, at) = place(key);
        let page = self.find(page).ok()?;
        self.pages[page].entries[at].as_mut()
    }

    /// Returns whether `key` has an entry.
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Inserts an entry; returns the one that was there before.
    pub fn insert(&mut self, key: K, entry: T) -> Option<T> {
        let (number, at) = place(key);
        let page = match self.find(number) {
            Ok(page) => page,
            Err(index) => {
                let mut page = self.spare.take().unwrap_or_else(Page::new);
                page.number = number;
                self.pages.insert(index, page);
                index
            }
        };
        let page = &mut self.pages[page];
        let before = page.entries[at].replace(entry);
        if before.is_none() {
            page.len += 1;
            self.len += 1;
        }
        before
    }

    /// Removes the entry of `key` and returns it.
    pub fn remove(&mut self, key: K) -> Option<T> {
        let (number, at) = place(key);
        let index = self.find(number).ok()?;
        let page = &mut self.pages[index];
        let entry = page.entries[at].take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            self.spare = Some(self.pages.remove(index));
        }
        Some(entry)
    }

    /// Removes the entries for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for page in &mut self.pages {
            for entry in &mut page.entries {
                if entry.take_if(|entry| !keep(entry)).is_some() {
                    page.len -= 1;
                    self.len -= 1;
                }
            }
        }
        self.pages.retain(|page| page.len > 0);
    }

    /// Removes all entries and returns them, lowest number first.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, T)> + use<K, T> {
        self.len = 0;
        core::mem::take(&mut self.pages).into_iter().flat_map(|page| {
            let entries = page.entries.into_iter().zip(page.number * PAGE_KEYS..);
            entries.filter_map(|(entry, number)| Some((K::from_number(number), entry?)))
        })
    }

    /// Returns the lowest key.
    pub fn first(&self) -> Option<K> {
        self.iter().next().map(|(key, _)| key)
    }

    /// Returns the entries, lowest number first.
    pub fn iter(&self) -> Iter<'_, K, T> {
        Iter { pages: &self.pages, front: 0, back: PAGE_KEYS as usize, key: PhantomData }
    }

    /// Returns the entries from this number on, lowest first.
    pub fn from(&self, first: K) -> Iter<'_, K, T> {
        let (number, at) = place(first);
        let (page, front) = match self.find(number) {
            Ok(page) => (page, at),
            Err(page) => (page, 0),
        };
        Iter { pages: &self.pages[page..], front, back: PAGE_KEYS as usize, key: PhantomData }
    }

    /// Returns the keys, lowest first.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns the entries without their keys, lowest number first.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter().map(|(_, entry)| entry)
    }

    /// Calls `each` with each entry, lowest number first.
    pub fn for_each_mut(&mut self, mut each: impl FnMut(K, &mut T)) {
        for page in &mut self.pages {
            for (at, entry) in page.entries.iter_mut().enumerate() {
                if let Some(entry) = entry {
                    each(K::from_number(page.number * PAGE_KEYS + at as u64), entry);
                }
            }
        }
    }
}

impl<T> Page<T> {
    fn new() -> Page<T> {
        Page { number: 0, entries: (0..PAGE_KEYS).map(|_| None).collect(), len: 0 }
    }
}

/// The entries of a [`Table`], lowest number first.
///
/// Two loops, and not `flat_map`, which costs a program ten times the code for each type of entry.
pub struct Iter<'t, K, T> {
    pages: &'t [Page<T>],
    /// The index in the first page before which all was returned, and the one in the last page from which on.
    front: usize,
    back: usize,
    key: PhantomData<K>,
}

impl<'t, K: TableKey, T> Iterator for Iter<'t, K, T> {
    type Item = (K, &'t T);

    fn next(&mut self) -> Option<(K, &'t T)> {
        while let [page, rest @ ..] = self.pages {
            let end = if rest.is_empty() { self.back } else { PAGE_KEYS as usize };
            while self.front < end {
                let at = self.front;
                self.front += 1;
                if let Some(entry) = &page.entries[at] {
                    return Some((K::from_number(page.number * PAGE_KEYS + at as u64), entry));
                }
            }
            (self.pages, self.front) = (rest, 0);
        }
        None
    }
}

impl<K: TableKey, T> DoubleEndedIterator for Iter<'_, K, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while let [rest @ .., page] = self.pages {
            let begin = if rest.is_empty() { self.front } else { 0 };
            while self.back > begin {
                self.back -= 1;
                if let Some(entry) = &page.entries[self.back] {
                    return Some((K::from_number(page.number * PAGE_KEYS + self.back as u64), entry));
                }
            }
            (self.pages, self.back) = (rest, PAGE_KEYS as usize);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::random::Random;
    use alloc::collections::BTreeMap;

    #[test]
    fn it_holds_what_a_tree_would() {
        let mut random = Random::new(7);
        let (mut pages, mut tree) = (Table::<u64, u64>::new(), BTreeMap::new());
        for step in 0..20_000_u64 {
            let key = random.next() % 1_000;
            if random.next() & 1 == 0 {
                assert_eq!(pages.insert(key, step), tree.insert(key, step));
            } else {
                assert_eq!(pages.remove(key), tree.remove(&key));
            }
            let other = random.next() % 1_000;
            assert_eq!(pages.get(other), tree.get(&other));
            assert_eq!(pages.get_mut(other), tree.get_mut(&other));
            assert_eq!((pages.len(), pages.is_empty()), (tree.len(), tree.is_empty()));
            if step % 100 == 0 {
                let both = |from: u64| {
                    let ours: Vec<(u64, u64)> = pages.from(from).map(|(key, entry)| (key, *entry)).collect();
                    let theirs: Vec<(u64, u64)> =
                        tree.range(from..).map(|(key, entry)| (*key, *entry)).collect();
                    (ours, theirs)
                };
                let (ours, theirs) = both(other);
                assert_eq!(ours, theirs);
                assert!(
                    pages.values().eq(tree.values())
                        && pages.iter().rev().eq(tree.iter().rev().map(|(k, v)| (*k, v)))
                );
            }
        }
    }

    #[test]
    fn an_empty_page_is_given_back() {
        let mut pages = Table::<u64, ()>::new();
        for key in 0..100_000 {
            pages.insert(key, ());
            pages.remove(key);
        }
        pages.insert(5, ());
        pages.insert(u64::MAX, ());
        assert_eq!(pages.pages.len(), 2);
    }
}
