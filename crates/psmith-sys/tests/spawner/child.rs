//! The started copies of this program, distinguished by their first words. They report on their streams; nothing here
//! asserts but in the copy that leads a session of its own.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use psmith_sys::spawn::{EnvBlock, SpawnProgress, Spawner};
use psmith_sys::wait::ExitStatusRaw;
use psmith_sys::{signals, wait};

use crate::start::{Start, descriptors, wait_for};

pub(crate) fn play_child(words: &[String]) {
    match words[0].as_str() {
        "descriptors" => {
            let mut numbers = descriptors();
            numbers.sort_unstable();
            // The listing itself holds one.
            numbers.retain(|number| Path::new(&format!("/proc/self/fd/{number}")).exists());
            let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            println!("{}", text.join(" "));
        }
        // Not this program's own state, which std changes before `main`.
        "permute" => permute(Path::new(&words[1])),
        "terminal" => terminal(),
        other => panic!("no such part: {other}"),
    }
}

/// Opens three files as 0, 1 and 2 and starts a child with each order of them.
fn permute(dir: &Path) {
    signals::block_all();
    let names = ["zero", "one", "two"];
    let mut spawner = Spawner::new().unwrap();
    for (number, name) in names.iter().enumerate() {
        let file = fs::File::options().append(true).create(true).open(dir.join(name)).unwrap();
        match number {
            0 => rustix::stdio::dup2_stdin(&file).unwrap(),
            1 => rustix::stdio::dup2_stdout(&file).unwrap(),
            _ => rustix::stdio::dup2_stderr(&file).unwrap(),
        }
    }
    let sources = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let env = EnvBlock::new(Vec::new());
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 1, 1], [2, 2, 0]] {
        for name in names {
            fs::write(dir.join(name), "").unwrap();
        }
        let mut request = Start::request(c"/bin/sh", b"sh\0-c\0echo a >&0; echo b >&1; echo c >&2\0", &env);
        request.fds = order.map(|number: usize| Some(sources[number]));
        let started = spawner.start(&request).unwrap();
        wait_for(&started.pidfd);
        assert_eq!(wait::reap(started.pid).unwrap().status, ExitStatusRaw::Code(0));
        spawner.release(started.ticket);
        for (number, name) in names.iter().enumerate() {
            let wanted: String = order
                .iter()
                .zip(["a\n", "b\n", "c\n"])
                .filter(|(to, _)| **to == number)
                .map(|(_, line)| line)
                .collect();
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), wanted, "{order:?} {name}");
        }
    }
}

/// Leads a session with a terminal, and gives its foreground to a child.
fn terminal() {
    signals::block_all();
    let master =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    // Opened by a session leader without a terminal, it becomes the session's.
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let tty = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let mut start = Start::program(c"/bin/sh");
    start.argv = b"sh\0-c\0test $(cut -d' ' -f8 /proc/$$/stat) = $$ && echo foreground\0".to_vec();
    start.foreground = Some(tty.as_fd());
    print!("{}", start.run().out);
    assert!(!matches!(psmith_sys::terminal::is_foreground(&tty), Ok(true)), "the child's group had it last");
}

pub(crate) fn parent_that_dies() {
    signals::block_all();
    let mut spawner = Spawner::new().unwrap();
    let (reader, _writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let env = EnvBlock::new(Vec::new());
    let mut request = Start::request(c"/bin/cat", b"cat\0", &env);
    request.fds[0] = Some(reader.as_fd());
    request.parent_death = Some(libc::SIGKILL);
    let started = spawner.start(&request).unwrap();
    while matches!(spawner.progress(&started.ticket), SpawnProgress::Pending(_)) {
        std::thread::yield_now();
    }
    println!("{}", started.pid);
    std::io::stdout().flush().unwrap();
    wait_for(&started.pidfd);
}
