//! The tables of `docs/from-gnu-parallel.md` and `docs/from-xargs.md`: each line of their manuals is the same for psmith,
//! has another form that does the same, or is refused with what to use. None of GNU parallel's runs as something else.
//!
//! A line is run by bash among made-up files, its programs stand-ins that print their arguments, and the other program
//! is psmith; where that is installed, it runs the line as well, and all that the two leave is compared.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use psmith_testkit::need::Need;
use psmith_testkit::{Scene, need, scene};

/// What the table says of a line.
enum Verdict {
    Same,
    /// The form for psmith.
    Form(String),
    /// Runs, and prints what GNU parallel only records; the form does not.
    Louder(String),
    /// What its refusal must name.
    Refused(String),
}

/// The lines of the table for this program.
fn rows(program: &str) -> Vec<(String, Verdict)> {
    let name = if program == "xargs" { "xargs" } else { "gnu-parallel" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/from-{name}.md"));
    let text = std::fs::read_to_string(path).expect("the page");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.filter_map(|row| {
        row.replace("\\|", "\u{1}")
            .split_once(" | ")
            .map(|(line, verdict)| (line.replace('\u{1}', "|"), verdict.replace('\u{1}', "|")))
    });
    cells
        .filter(|(line, _)| line.starts_with('`'))
        .map(|(line, verdict)| {
            let verdict = match verdict.split_once(": ") {
                Some(("refused", pointer)) => Verdict::Refused(code(pointer)),
                Some(("prints as well", form)) => Verdict::Louder(code(form)),
                _ if verdict == "the same" => Verdict::Same,
                _ => Verdict::Form(code(&verdict)),
            };
            (code(&line), verdict)
        })
        .collect()
}

/// Returns the text between the marks of code.
fn code(cell: &str) -> String {
    match cell.strip_prefix("`` ").and_then(|cell| cell.strip_suffix(" ``")) {
        Some(text) => text.to_owned(),
        None => cell.trim_matches('`').to_owned(),
    }
}

/// Programs that print their name and arguments.
const STAND_INS: &str = "apt-file cmd convert curl do_something do_step1 do_step2 emacs gzip host lame lynx my_command \
    my_program myprog ping rsync sem srun tar traceroute unzip wget youtube-dl";

/// Makes the programs: the other one is this script.
fn programs(scene: &Scene, name: &str, other: &str, script: &str) -> PathBuf {
    let bin = scene.path(name);
    std::fs::create_dir(&bin).expect("a directory");
    // Of bash: dash would not pass on what bash has exported as a function.
    let write = |name: &str, script: &str| {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("a program");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    for name in STAND_INS.split_whitespace() {
        // In one write, so that lines stay whole where outputs are mixed.
        write(name, &format!("line={name}; for word; do line=\"$line [$word]\"; done; echo \"$line\""));
    }
    write("zcat", "exec cat \"$@\"");
    write("bzip2", "exec cat");
    write("sudo", "exec \"$@\"");
    write(other, script);
    write("psmith", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_psmith")));
    bin
}

/// Makes the files among which a line is run.
fn files(directory: &Path) {
    for folder in ["", "destdir", "sounddir", "in", "mydir", "mirror_dir"] {
        std::fs::create_dir_all(directory.join(folder)).expect("a directory");
    }
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("a file");
    for name in [
        "a b.txt", "x.txt", "it's.txt", "p.html", "q.html", "s.wav", "a.jpg", "b.jpg", "a.es.c", "a.c",
        "z.zip",
    ] {
        write(name, &format!("FOO BAR STRING {name}\n2\n"));
    }
    for number in 1..=9 {
        write(&format!("log.{number}"), "log\n");
    }
    for name in
        ["old.log", "x1y01z1", "x1y02z1", "t.tar.gz", "f.gz", "g.gz", "01:25", "sounddir/u.wav", "in/i"]
    {
        write(name, &format!("{name}\n"));
    }
    std::os::unix::fs::symlink("nowhere", directory.join("mirror_dir/l")).expect("a link");
    let numbers: String = (1..=900).map(|number| format!("{number} line\n")).collect();
    for (name, text) in [
        ("urlfile", "http://a\nhttp://b\n"),
        ("file_list", "a b.txt\nmissing\n"),
        ("jobs_to_run", "echo one\necho 'two  three'\n"),
        ("jobqueue", "echo q\n"),
        ("xlist", "x1\nx 2\n"),
        ("ylist", "y1\ny2\n"),
        ("addressbook.tsv", "Name\tE-mail address\nA\ta@x\nB C\tb@y\n"),
        ("in.txt", "aardvark\nbabble\ncab\n"),
        ("table_file.tsv", "foo\tbar\nbaz\tquux\n"),
        ("list", "l1\nl 2\n\n$HOME\n"),
        ("comma", "a,b c,d"),
        ("hosts.txt", "h1\nh2\n"),
        ("textfile", "t1\nt2\n"),
        ("regexps.txt", "11\n25\n7 l\n"),
        ("bigfile", &numbers),
        ("big.fq", "@a/1\n"),
    ] {
        write(name, text);
    }
}

/// What a line leaves: the lines of its output, sorted, its exit code, its files.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    out: Vec<String>,
    code: i32,
    files: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

/// Runs a line; returns what it leaves, and its messages.
fn run(scene: &Scene, bin: &Path, name: &str, line: &str) -> (Left, String) {
    let directory = scene.path(name);
    files(&directory);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let line = format!("cd '{}' && {line}", directory.display());
    let ended = scene.program("bash").args(["-c", &line]).env("PATH", path).env("SHELL", "/bin/bash").run();
    let mut out: Vec<String> = ended.out().lines().map(str::to_owned).collect();
    out.sort();
    let mut files = BTreeMap::new();
    // Records hold times.
    if !line.contains("--results") {
        listing(&directory, &directory, &mut files);
    }
    std::fs::remove_dir_all(&directory).expect("a directory");
    (Left { out, code: ended.code(), files }, ended.err())
}

fn listing(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            listing(root, &path, files);
        }
        files.insert(path.strip_prefix(root).expect("below").to_owned(), std::fs::read(&path).ok());
    }
}

/// Checks every 24th line, or all.
fn check(program: &str, first: usize, step: usize) {
    need!("lines of other programs", Need::Program("bash"));
    let scene = scene!();
    let ours = programs(&scene, "ours", program, "exec psmith \"$@\"");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = std::env::split_paths(&path).map(|place| place.join(program)).find(|file| file.exists());
    let cite = if program == "parallel" { "--will-cite" } else { "" };
    let theirs = real
        .map(|real| programs(&scene, "theirs", program, &format!("exec '{}' {cite} \"$@\"", real.display())));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (number, (line, verdict)) in rows(program).into_iter().enumerate().skip(first).step_by(step) {
        let (left, err) = run(&scene, &ours, &format!("{number}-ours"), &line);
        let same = match verdict {
            Verdict::Same if !err.contains("psmith: error") => Some(left),
            Verdict::Form(form) if program == "xargs" || is_refused(&left, &err) => {
                Some(run(&scene, &ours, &format!("{number}-form"), &form).0)
            }
            Verdict::Louder(form) if !left.out.is_empty() && !err.contains("psmith: error") => {
                Some(run(&scene, &ours, &format!("{number}-form"), &form).0)
            }
            Verdict::Refused(pointer) if is_refused(&left, &err) && err.contains(&pointer) => None,
            _ => {
                wrong.push(format!("{line}\n  leaves {:?} {}\n  {err}", left.out, left.code));
                None
            }
        };
        if let (Some(same), Some(theirs)) = (same, &theirs) {
            let (expected, err) = run(&scene, theirs, &format!("{number}-theirs"), &line);
            if same != expected {
                let mut files = expected.files.clone();
                files.retain(|name, text| same.files.get(name) != Some(text));
                let more: Vec<_> =
                    same.files.keys().filter(|name| !expected.files.contains_key(*name)).collect();
                wrong.push(format!(
                    "{line}\n  psmith leaves {:?} {}\n  other leaves  {:?} {}\n  other files {:?}, more {more:?}\n  {err}",
                    same.out, same.code, expected.out, expected.code, files.keys()
                ));
            }
        }
        checked += 1;
    }
    assert!(checked >= 9, "{checked} lines");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns whether nothing was run, and a hint tells what to do.
fn is_refused(left: &Left, err: &str) -> bool {
    left.out.is_empty() && err.contains("psmith: error") && err.contains("  hint: ")
}

macro_rules! checks {
    ($($name:ident: $first:literal),*) => {
        $(#[test]
        fn $name() {
            check("parallel", $first, 24);
        })*
    };
}

checks!(lines_1_of_24: 0, lines_2_of_24: 1, lines_3_of_24: 2, lines_4_of_24: 3, lines_5_of_24: 4, lines_6_of_24: 5, lines_7_of_24: 6, lines_8_of_24: 7, lines_9_of_24: 8, lines_10_of_24: 9, lines_11_of_24: 10, lines_12_of_24: 11, lines_13_of_24: 12, lines_14_of_24: 13, lines_15_of_24: 14, lines_16_of_24: 15, lines_17_of_24: 16, lines_18_of_24: 17, lines_19_of_24: 18, lines_20_of_24: 19, lines_21_of_24: 20, lines_22_of_24: 21, lines_23_of_24: 22, lines_24_of_24: 23);

#[test]
fn lines_of_xargs() {
    check("xargs", 0, 1);
}
