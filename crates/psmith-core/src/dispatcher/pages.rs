//! A table whose keys are numbers that were given one after the other, such as those of jobs.
//!
//! Keys that lie close together share a page, and only pages are searched for: with many thousand entries that is
//! several times cheaper than a tree of entries, whose leaves are never in the processor's cache. A page is removed
//! with its last entry, so memory follows the number of entries, however far apart the oldest and the youngest lie.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// The number of keys of a page.
const PAGE_KEYS: u64 = 64;

/// A table by number, in the order of the numbers.
#[derive(Debug)]
pub(super) struct PagedTable<T> {
    pages: BTreeMap<u64, TablePage<T>>,
    /// An empty page, for the next one that is needed: with few entries one is removed and added all the time.
    spare: Option<TablePage<T>>,
    len: usize,
}

#[derive(Debug)]
struct TablePage<T> {
    entries: Box<[Option<T>; PAGE_KEYS as usize]>,
    len: u32,
}

impl<T> Default for PagedTable<T> {
    fn default() -> PagedTable<T> {
        PagedTable { pages: BTreeMap::new(), spare: None, len: 0 }
    }
}

/// Returns the page of a key, and its index there.
fn place(key: u64) -> (u64, usize) {
    (key / PAGE_KEYS, (key % PAGE_KEYS) as usize)
}

impl<T> PagedTable<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, key: u64) -> Option<&T> {
        let (page, at) = place(key);
        self.pages.get(&page)?.entries[at].as_ref()
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (page, at) = place(key);
        self.pages.get_mut(&page)?.entries[at].as_mut()
    }

    /// Inserts an entry; returns the one that was there before.
    pub(super) fn insert(&mut self, key: u64, entry: T) -> Option<T> {
        let (page, at) = place(key);
        let spare = &mut self.spare;
        let page = self.pages.entry(page).or_insert_with(|| {
            spare.take().unwrap_or_else(|| TablePage {
                entries: Box::new([const { None }; PAGE_KEYS as usize]),
                len: 0,
            })
        });
        let before = page.entries[at].replace(entry);
        if before.is_none() {
            page.len += 1;
            self.len += 1;
        }
        before
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        let (number, at) = place(key);
        let page = self.pages.get_mut(&number)?;
        let entry = page.entries[at].take()?;
        page.len -= 1;
        self.len -= 1;
        if page.len == 0 {
            self.spare = self.pages.remove(&number);
        }
        Some(entry)
    }

    /// Returns the entries, lowest number first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        self.from(0)
    }

    /// Returns the entries from this number on, lowest first.
    pub(super) fn from(&self, first: u64) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let (page, _) = place(first);
        self.pages.range(page..).flat_map(move |(&page, entries)| {
            let entries = entries.entries.iter().enumerate();
            entries.filter_map(move |(at, entry)| {
                let key = page * PAGE_KEYS + at as u64;
                entry.as_ref().filter(|_| key >= first).map(|entry| (key, entry))
            })
        })
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter().map(|(_, entry)| entry)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.values_mut().flat_map(|page| page.entries.iter_mut().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatcher::random::Random;
    use alloc::vec::Vec;

    #[test]
    fn it_holds_what_a_tree_would() {
        let mut random = Random::new(7);
        let (mut pages, mut tree) = (PagedTable::default(), BTreeMap::new());
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
        let mut pages = PagedTable::default();
        for key in 0..100_000 {
            pages.insert(key, ());
            pages.remove(key);
        }
        pages.insert(5, ());
        pages.insert(u64::MAX, ());
        assert_eq!(pages.pages.len(), 2);
    }
}
