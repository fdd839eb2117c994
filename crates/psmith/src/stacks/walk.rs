//! The unwinding: registers and bytes of a stack become return addresses, by the tables that unwind panics. Stops and
//! reads no process but this one.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative, Unwinder,
    UnwinderNative,
};
use object::{Object, ObjectSection, ObjectSegment};

use crate::stacks::Frame;
use crate::stacks::names::SymbolNames;
use psmith_engine::stack_samples::StackSample;

/// The most callers that are named: a recursion without end would fill pages.
const FRAMES_MAX: usize = 256;

/// Code that was mapped into the process.
#[derive(Debug)]
struct Mapped {
    range: Range<u64>,
    offset: u64,
    inode: u64,
    /// Empty: memory of no file. `[vdso]`: the kernel's.
    path: PathBuf,
}

/// A program or library in the process.
struct Loaded {
    path: PathBuf,
    /// The file that it is read from: its own may be gone.
    file: PathBuf,
    /// The difference between the process's addresses and the file's.
    bias: u64,
}

/// The unwinder of a process, for all its threads.
#[derive(Default)]
pub(super) struct Walker {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    /// The programs and libraries by their first address: the address behind them, and the file.
    loaded: BTreeMap<u64, (u64, Loaded)>,
    names: SymbolNames,
}

impl Walker {
    /// Makes the unwinder of a process with these mappings (`/proc/PID/maps`).
    pub(super) fn new(maps: &[u8]) -> Walker {
        let mut walker = Walker::default();
        for mapped in code(maps) {
            let Some((object, module)) = module(&mapped) else { continue };
            walker.unwinder.add_module(module);
            walker.loaded.insert(mapped.range.start, (mapped.range.end, object));
        }
        walker
    }

    /// Walks the stack of that moment: returns its functions, and the reason for which the outermost are missing, if
    /// they are.
    pub(super) fn walk(&mut self, sample: &StackSample) -> (Vec<Frame>, Option<String>) {
        let Walker { unwinder, loaded, names } = self;
        let mut cache = CacheNative::new();
        let from = sample.registers.stack;
        let mut read = |address: u64| {
            let at = usize::try_from(address.wrapping_sub(from)).map_err(|_| ())?;
            let bytes = sample.stack.get(at..at.wrapping_add(8)).ok_or(())?;
            bytes.try_into().map(u64::from_ne_bytes).map_err(|_| ())
        };
        let mut walk =
            unwinder.iter_frames(sample.registers.instruction, registers(sample), &mut cache, &mut read);
        let mut frames = Vec::new();
        loop {
            match walk.next() {
                Ok(Some(_)) if frames.len() >= FRAMES_MAX => {
                    return (frames, Some(format!("there are more than {FRAMES_MAX}")));
                }
                Ok(Some(frame)) => {
                    let address = frame.address_for_lookup();
                    let object = loaded.range(..=address).next_back().map(|(_, object)| object);
                    match object.filter(|(end, _)| address < *end) {
                        Some((_, object)) => {
                            let at = address.wrapping_sub(object.bias);
                            names.frames(&object.file, (&object.path, at), &mut frames);
                        }
                        None => {
                            frames.push(Frame { function: None, file: None, line: None, object: None });
                        }
                    }
                }
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error.to_string().to_lowercase())),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn registers(sample: &StackSample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.registers.instruction, sample.registers.stack, sample.registers.frame)
}

#[cfg(target_arch = "aarch64")]
fn registers(sample: &StackSample) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.registers.link, sample.registers.stack, sample.registers.frame)
}

/// `START-END r-xp OFFSET DEVICE INODE PATH`, of what can be executed.
fn code(maps: &[u8]) -> impl Iterator<Item = Mapped> {
    let maps = String::from_utf8_lossy(maps).into_owned();
    let lines: Vec<Mapped> = maps.lines().filter_map(mapped).collect();
    lines.into_iter()
}

fn mapped(line: &str) -> Option<Mapped> {
    // The path stands behind any number of blanks, and may hold some.
    let (head, path) = line.split_at_checked(73).unwrap_or((line, ""));
    let mut words = head.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()?.as_bytes().get(2) == Some(&b'x');
    let hexadecimal = |word| u64::from_str_radix(word, 16).ok();
    let offset = hexadecimal(words.next()?)?;
    let inode = words.nth(1)?.parse().ok()?;
    let range = hexadecimal(start)?..hexadecimal(end)?;
    is_code.then(|| Mapped { range, offset, inode, path: path.trim_start().into() })
}

fn module(mapped: &Mapped) -> Option<(Loaded, Module<Vec<u8>>)> {
    let (file, bytes) = if mapped.path == Path::new("[vdso]") {
        // It is the same in every process of this kernel.
        (mapped.path.clone(), own_vdso()?)
    } else {
        let file = file_of(mapped)?;
        let bytes = std::fs::read(&file).ok()?;
        (file, bytes)
    };
    let elf = object::File::parse(&*bytes).ok()?;
    let holds = |segment: &object::Segment<'_, '_>| {
        let (offset, size) = segment.file_range();
        (offset & !0xfff..offset + size).contains(&mapped.offset)
    };
    // Where segments share a page of the file, the one with the code comes last.
    let segment = elf.segments().filter(holds).last()?;
    let start = mapped.range.start.wrapping_sub(mapped.offset);
    let bias = start.wrapping_add(segment.file_range().0).wrapping_sub(segment.address());
    let range =
        |name| elf.section_by_name(name).map(|section| section.address()..section.address() + section.size());
    let data = |name| elf.section_by_name(name).and_then(|section| section.data().ok().map(<[u8]>::to_vec));
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: data(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        debug_frame: data(".debug_frame"),
        ..ExplicitModuleSectionInfo::default()
    };
    let module = Module::new(mapped.path.display().to_string(), mapped.range.clone(), bias, sections);
    Some((Loaded { path: mapped.path.clone(), file, bias }, module))
}

/// The path where the bytes of a mapped file can be read: a worker's program is this one's, also where its name is
/// gone.
fn file_of(mapped: &Mapped) -> Option<PathBuf> {
    let is_it = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.ino() == mapped.inode);
    let own = Path::new("/proc/self/exe");
    [own, &mapped.path].into_iter().find(|path| is_it(path)).map(Path::to_owned)
}

fn own_vdso() -> Option<Vec<u8>> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let own = code(&maps).find(|mapped| mapped.path == Path::new("[vdso]"))?;
    let mut bytes = vec![0; usize::try_from(own.range.end - own.range.start).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, own.range.start).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_as_the_kernel_writes_them() {
        let line = "7f1c2a800000-7f1c2a955000 r-xp 00028000 fe:00 131                        /usr/lib/a b.so";
        let mapped = mapped(line).unwrap();
        assert_eq!(mapped.range, 0x7f1c_2a80_0000..0x7f1c_2a95_5000);
        assert_eq!((mapped.offset, mapped.inode), (0x28000, 131));
        assert_eq!(mapped.path, Path::new("/usr/lib/a b.so"));
        let own = std::fs::read("/proc/self/maps").unwrap();
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        assert!(code(&own).any(|mapped| mapped.path == program));
        assert!(code(b"cut in the mid").next().is_none());
    }
}
