//! The packed file under its temporary name.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use super::WRITE_BACK_BYTES;
use crate::{
    adapters::files::{AtomicFile, FileError},
    model::contents::Frame,
    stream::{StreamError, hash::Sha},
};

/// The packed file: hashed as it is written, written back early.
pub(super) struct Sink {
    pub(super) file: AtomicFile,
    pub(super) sha: Sha,
    pub(super) bytes: u64,
    pub(super) frames: Vec<Frame>,
    pub(super) written_back: u64,
    pub(super) write_back: WriteBack,
}

impl Sink {
    pub(super) fn create(dir: &Path, name: &str) -> Result<Self, StreamError> {
        let file = AtomicFile::create(dir, name)?;
        let write_back = WriteBack::start(file.file()).map_err(|e| FileError::new("creating", file.target(), e))?;
        Ok(Self { file, sha: Sha::default(), bytes: 0, frames: Vec::new(), written_back: 0, write_back })
    }

    pub(super) fn pack_error(&self, source: io::Error) -> StreamError {
        let name = self.file.target().file_name().unwrap_or_default().to_string_lossy().into_owned();
        StreamError::Pack { name, source }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.sha.update(bytes);
        let written = self.file.file().write_all(bytes);
        written.map_err(|e| FileError::new("writing", self.file.target(), e))?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.written_back >= WRITE_BACK_BYTES {
            self.written_back = self.bytes;
            self.write_back.nudge();
        }
        Ok(())
    }
}

/// A thread that syncs the file now and then while it grows.
pub(super) struct WriteBack {
    nudges: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBack {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (nudges, queue) = sync_channel(1);
        let body = move || {
            while queue.recv().is_ok() {
                file.sync_data()?;
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("write-back".into()).spawn(body)?;
        Ok(Self { nudges: Some(nudges), thread: Some(thread) })
    }

    fn nudge(&self) {
        if let Some(nudges) = &self.nudges {
            // Full: a sync is under way and another one queued.
            let _ = nudges.try_send(());
        }
    }

    /// An error of an early sync is reported by the kernel only once, so it must not be lost here.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.nudges = None;
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(e))) => Err(e),
            Some(Err(_)) => Err(io::Error::other("the write-back thread panicked")),
        }
    }
}
