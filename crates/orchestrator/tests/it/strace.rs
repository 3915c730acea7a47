//! What a process asks the kernel to do with files, as `strace` tells it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Calls that change what is on a disk, or bring it there.
const CALLS: &str = "?open,openat,openat2,?creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,\
    truncate,fallocate,copy_file_range,sendfile,splice,fsync,fdatasync,syncfs,sync,\
    sync_file_range,?rename,renameat,renameat2,?link,linkat,?symlink,symlinkat,?mkdir,mkdirat,?unlink,\
    unlinkat,?rmdir,?chmod,fchmod,fchmodat,?fchmodat2,?chown,fchown,?lchown,fchownat";

/// A process whose calls to bring files to the disk fail, while this lives.
pub(crate) struct NoSync(Child);

impl NoSync {
    /// `None` where this machine does not let us.
    pub(crate) fn of(process: u32, file: &Path) -> Option<Self> {
        let calls = ["trace=fsync,fdatasync", "inject=fsync,fdatasync:error=EIO"];
        Strace::begin(process, file, &calls).map(Self)
    }
}

impl Drop for NoSync {
    fn drop(&mut self) {
        // It lets go of the process.
        let id = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = kill(id, Signal::SIGINT);
        let _ = self.0.wait();
    }
}

/// A running process, looked at.
pub(crate) struct Strace {
    child: Child,
    file: PathBuf,
}

impl Strace {
    /// Looks at all threads of `process` and at all its children. `None` where this machine does
    /// not let us.
    pub(crate) fn attach(process: u32, file: &Path) -> Option<Self> {
        let child = Self::begin(process, file, &[&format!("trace={CALLS}")])?;
        Some(Self { child, file: file.to_owned() })
    }

    fn begin(process: u32, file: &Path, about: &[&str]) -> Option<Child> {
        let told = file.with_extension("told");
        let child = Command::new("strace")
            .args(["-f", "-y", "-s", "4200"])
            .args(about.iter().flat_map(|one| ["-e", one]))
            .arg("-o")
            .arg(file)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&told).unwrap())
            .spawn();
        let refused = |why: &str| {
            assert!(std::env::var_os("CI").is_none(), "strace is needed: {why}");
            println!("left out, as strace is needed: {why}");
        };
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                refused(&error.to_string());
                return None;
            }
        };
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let said = std::fs::read_to_string(&told).unwrap();
            if said.contains(" attached") {
                return Some(child);
            }
            if child.try_wait().unwrap().is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                refused(&said);
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets go of the process; gives what it did, in order.
    pub(crate) fn calls(mut self) -> Vec<Call> {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(id, Signal::SIGINT).unwrap();
        self.child.wait().unwrap();
        calls(&String::from_utf8_lossy(&std::fs::read(&self.file).unwrap()))
    }
}

/// One call that succeeded.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    arguments: Vec<String>,
    given: String,
}

impl Call {
    pub(crate) fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// The file that an open descriptor is of.
    pub(crate) fn open_file(&self, at: usize) -> Option<PathBuf> {
        shown(self.argument(at))
    }

    /// The path at `at`.
    pub(crate) fn path(&self, at: usize) -> Option<PathBuf> {
        Some(PathBuf::from(self.argument(at).strip_prefix('"')?.strip_suffix('"')?))
    }

    /// The path at `at`, below the open folder before it.
    pub(crate) fn path_at(&self, at: usize) -> Option<PathBuf> {
        Some(self.open_file(at - 1)?.join(self.path(at)?))
    }

    /// The file of the descriptor that was given.
    pub(crate) fn opened(&self) -> Option<PathBuf> {
        shown(&self.given)
    }
}

/// `12</a/file>` is of `/a/file`.
fn shown(descriptor: &str) -> Option<PathBuf> {
    let (number, rest) = descriptor.split_once('<')?;
    let is_one = number == "AT_FDCWD" || number.parse::<u32>().is_ok();
    let path = rest.split_once('>')?.0;
    (is_one && path.starts_with('/')).then(|| PathBuf::from(path))
}

/// The calls of a whole trace, each where it ended.
pub(crate) fn calls(text: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(process, start);
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((_, end)) = resumed.split_once(" resumed>") else { continue };
            let Some(start) = begun.remove(process) else { continue };
            calls.extend(call(&format!("{start}{end}")));
        } else {
            calls.extend(call(rest));
        }
    }
    calls
}

/// `name(arguments) = given`; `None` where it failed.
fn call(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (mut arguments, mut argument) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut end = None;
    for (at, letter) in rest.char_indices() {
        if quoted {
            argument.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ')' if depth == 0 => {
                end = Some(at);
                break;
            }
            ',' if depth == 0 => {
                arguments.push(std::mem::take(&mut argument).trim().to_owned());
                continue;
            }
            '"' => quoted = true,
            '[' | '{' | '(' | '<' => depth += 1,
            ']' | '}' | ')' | '>' => depth -= 1,
            _ => {}
        }
        argument.push(letter);
    }
    arguments.push(argument.trim().to_owned());
    let given = rest[end?..].split_once(" = ")?.1.to_owned();
    if given.starts_with('-') || given.starts_with('?') {
        return None;
    }
    Some(Call { name: name.to_owned(), arguments, given })
}

#[test]
fn a_trace_is_read() {
    let read = calls(
        "7  openat(AT_FDCWD</>, \"/d/a b\", O_WRONLY|O_CREAT, 0666) = 9</d/a b>\n\
         8  fsync(9</d/a b> <unfinished ...>\n\
         7  pwrite64(9</d/a b>, \"x\\\", ) = 1\", 9, 0) = 9\n\
         7  mkdirat(4</d>, \"c\", 0700)          = -1 EEXIST (File exists)\n\
         8  <... fsync resumed>)                = 0\n\
         7  writev(9</d/a b>, [{iov_base=\"a, b\", iov_len=4}], 1) = 4\n\
         7  renameat2(4</d>, \"c\", AT_FDCWD</>, \"/d/e\", RENAME_NOREPLACE) = 0\n",
    );
    let names: Vec<_> = read.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["openat", "pwrite64", "fsync", "writev", "renameat2"]);
    let file = Some(PathBuf::from("/d/a b"));
    assert_eq!((read[0].opened(), read[2].open_file(0)), (file.clone(), file));
    assert_eq!(read[0].argument(2), "O_WRONLY|O_CREAT");
    assert_eq!(read[1].argument(3), "0");
    assert_eq!(read[4].path_at(1), Some("/d/c".into()));
    assert_eq!(read[4].path_at(3), Some("/d/e".into()));
}
