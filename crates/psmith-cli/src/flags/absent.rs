//! Flags that are known and do nothing here: of later versions, or left out, each with what to type instead.

/// A flag that is known but does nothing here.
pub(crate) struct Absent {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) why: Why,
}

/// The reason why a flag does nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A flag of a later version.
    Later,
    /// A flag that is left out for good; what to use instead.
    Instead(&'static str),
    /// A flag that requests the default.
    Needless,
}

impl Absent {
    /// Returns whether this is its name, dashes included; an empty long name is none.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        match name.strip_prefix("--") {
            Some(long) => !long.is_empty() && long == self.long,
            None => {
                self.short.is_some_and(|short| name.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])))
            }
        }
    }
}

const fn later(long: &'static str) -> Absent {
    Absent { long, short: None, why: Why::Later }
}

const fn instead(long: &'static str, short: Option<char>, pointer: &'static str) -> Absent {
    Absent { long, short, why: Why::Instead(pointer) }
}

const fn needless(long: &'static str, short: Option<char>) -> Absent {
    Absent { long, short, why: Why::Needless }
}

/// Instead of GNU parallel's remote jobs.
const SSH: &str = "ssh is a command like others: psmith ssh HOST COMMAND {} ::: A..";

/// Instead of its transfer of files.
const COPY: &str = "psmith -s 'rsync {} HOST: && ssh HOST COMMAND {}' ::: A..";

/// Instead of its databases.
const RECORD: &str = "--joblog FILE, --results FILE.csv or FILE.jsonl";

/// Instead of `sem`.
const LOCK: &str = "flock FILE COMMAND waits for the others; psmith -jN limits its own jobs";

/// Instead of a bucket for each value of a column.
const BUCKETS: &str = "awk '{ print > $1 }' FILE, then psmith COMMAND ::: ..";

/// Instead of other names for replacement strings.
const BRACES: &str = "write {} {.} {/} {//} {/.} {#} {%} as they are; -I STR stands for {}";

/// Flags of later versions, flags that are left out, flags that request the default.
pub(crate) const ABSENT: &[Absent] = &[
    later("jsonl"),
    later("priority"),
    later("queue"),
    later("after"),
    later("at"),
    later("label"),
    later("jobserver"),
    later("run"),
    later("no-record"),
    instead("sshlogin", Some('S'), SSH),
    instead("sshloginfile", None, SSH),
    instead("slf", None, SSH),
    instead("ssh", None, SSH),
    instead("ssh-delay", None, SSH),
    instead("hostgroup", None, SSH),
    instead("basefile", None, SSH),
    instead("bf", None, SSH),
    instead("rsync-opts", None, SSH),
    instead("nonall", None, SSH),
    instead("onall", None, SSH),
    instead("hostgroups", None, SSH),
    instead("hgrp", None, SSH),
    instead("filter-hosts", None, SSH),
    instead("controlmaster", Some('M'), SSH),
    instead("trc", None, COPY),
    instead("return", None, COPY),
    instead("transferfile", None, COPY),
    instead("tf", None, COPY),
    instead("transfer", None, COPY),
    instead("cleanup", None, COPY),
    instead("sql", None, RECORD),
    instead("sqlmaster", None, RECORD),
    instead("sql-master", None, RECORD),
    instead("sqlworker", None, RECORD),
    instead("sql-worker", None, RECORD),
    instead("sqlandworker", None, RECORD),
    instead("sql-and-worker", None, RECORD),
    instead("semaphore", None, LOCK),
    instead("fg", None, LOCK),
    instead("bg", None, LOCK),
    instead("wait", None, LOCK),
    instead("id", None, LOCK),
    instead("semaphore-name", None, LOCK),
    instead("semaphore-timeout", None, LOCK),
    instead("st", None, LOCK),
    instead("bin", None, BUCKETS),
    instead("shard", None, BUCKETS),
    instead("group-by", None, BUCKETS),
    instead("basenameextensionreplace", None, BRACES),
    instead("bner", None, BRACES),
    instead("basenamereplace", None, BRACES),
    instead("bnr", None, BRACES),
    instead("dirnamereplace", None, BRACES),
    instead("dnr", None, BRACES),
    instead("extensionreplace", None, BRACES),
    instead("er", None, BRACES),
    instead("seqreplace", None, BRACES),
    instead("slotreplace", None, BRACES),
    instead("parens", None, BRACES),
    instead("rpl", None, "filter the input: sed .. | psmith .."),
    instead("filter", None, "filter the input: grep .. | psmith .."),
    instead("fifo", None, "--cat: a file, whose name is {}"),
    instead("tee", None, "cat > FILE; psmith -s 'COMMAND {} < FILE' ::: A.."),
    instead("regexp", None, "--recstart and --recend as text; or sed puts a mark before each record"),
    instead("block-timeout", None, "--block with fewer bytes"),
    instead("bt", None, "--block with fewer bytes"),
    instead("tmux", None, "psmith --tty, or --progress board"),
    instead("tmuxpane", None, "psmith --tty, or --progress board"),
    instead("eof", Some('E'), "sed '/END/,$d' | psmith .."),
    instead("", Some('e'), "sed '/END/,$d' | psmith .."),
    instead("", Some('i'), "-I {}"),
    instead("", Some('l'), "-n N"),
    instead("", Some('x'), "an input that is too long fails its job; leave -x out"),
    instead("trim", None, "sed 's/^ *//; s/ *$//' | psmith .., or --colsep ' *, *'"),
    instead("retry-failed", None, "--resume-failed with the same command"),
    instead("interactive", Some('p'), "--dry-run shows what would run"),
    instead("open-tty", Some('o'), "--tty"),
    instead("files", None, "--results 'DIR/{#}' --show none, then the files of DIR"),
    instead("output-as-files", None, "--results 'DIR/{#}' --show none, then the files of DIR"),
    instead("outputasfiles", None, "--results 'DIR/{#}' --show none, then the files of DIR"),
    instead("latest-line", None, "--progress board shows the last line of each"),
    instead("ll", None, "--progress board shows the last line of each"),
    instead("ctag", None, "--tag"),
    instead("ctagstring", None, "--tagstring T"),
    instead("color-failed", None, "--color always"),
    instead("cf", None, "--color always"),
    instead("shellquote", None, "--dry-run echo shows each input quoted; printf %q in bash"),
    instead("shell-quote", None, "--dry-run echo shows each input quoted; printf %q in bash"),
    instead("skip-first-line", None, "tail -n +2 FILE | psmith .., or --header : for names"),
    instead("tmpdir", None, "TMPDIR=DIR psmith .."),
    instead("compress-program", None, "psmith -s 'COMMAND {} | gzip' > FILE"),
    instead("decompress-program", None, "psmith -s 'COMMAND {} | gzip' > FILE"),
    instead("total-jobs", None, "it is counted; {##} is the number of jobs"),
    instead("total", None, "it is counted; {##} is the number of jobs"),
    instead("minversion", None, "psmith --version"),
    instead("profile", Some('J'), "an alias or a script of your shell"),
    instead("template", None, "an alias or a script of your shell"),
    instead("tmpl", None, "an alias or a script of your shell"),
    instead("record-env", None, "jobs have psmith's whole environment; --env NAME, --env-clear"),
    instead("session", None, "jobs have psmith's whole environment; --env NAME, --env-clear"),
    instead("embed", None, "a script that calls psmith -s"),
    instead("shebang", None, "a script that calls psmith -s"),
    instead("hashbang", None, "a script that calls psmith -s"),
    instead("shebang-wrap", None, "a script that calls psmith -s"),
    instead("arg-sep", None, "::: and ::::"),
    instead("arg-file-sep", None, "::: and ::::"),
    instead("number-of-cpus", None, "nproc; -j N, or -j 50%"),
    instead("number-of-cores", None, "nproc; -j N, or -j 50%"),
    instead("number-of-sockets", None, "nproc; -j N, or -j 50%"),
    instead("number-of-threads", None, "nproc; -j N, or -j 50%"),
    instead("use-cores-instead-of-threads", None, "nproc; -j N, or -j 50%"),
    instead("use-cpus-instead-of-cores", None, "nproc; -j N, or -j 50%"),
    instead("use-sockets-instead-of-threads", None, "nproc; -j N, or -j 50%"),
    instead("shell-completion", None, "psmith --generate complete-bash"),
    instead("limit", None, "--load, --memfree"),
    instead("memsuspend", None, "--memfree SIZE"),
    instead("max-chars", None, "-n N; -n, -X and -m never exceed what the kernel takes"),
    instead(
        "max-line-length-allowed",
        None,
        "getconf ARG_MAX; -n, -X and -m never exceed what the kernel takes",
    ),
    instead("show-limits", None, "getconf ARG_MAX; -n, -X and -m never exceed what the kernel takes"),
    needless("will-cite", None),
    needless("no-notice", None),
    needless("gnu", None),
    needless("plus", None),
    needless("noswap", None),
    needless("silent", None),
    needless("compress", None),
    needless("quote", Some('q')),
];
