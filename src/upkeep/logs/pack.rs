//! Packs one log: gzip members of some MiB each, which every gunzip reads as one file, and reads them back.

use std::io;

use xxhash_rust::xxh3::Xxh3;

use crate::adapters::{
    plant::{Attributes, Ground, Planted},
    tree::{self, Dir, Facts, TreeFile},
};

/// Plain bytes of a member: a log of any length is packed in bounded memory.
const MEMBER_BYTES: usize = 4 << 20;
/// Small logs take small buffers.
const FIRST_BYTES: usize = 64 << 10;
/// libdeflate's own default; about as small as gzip's.
const LEVEL: i32 = 6;

/// A packed copy, not yet believed.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    /// The log as it was read.
    pub(super) facts: Facts,
    /// Bytes of the copy.
    pub(super) bytes: u64,
    hash: u128,
    /// Plain and packed bytes of each member.
    members: Vec<(usize, usize)>,
}

/// Buffers and codecs of one worker.
pub(super) struct Packer {
    compressor: libdeflater::Compressor,
    decompressor: libdeflater::Decompressor,
    plain: Vec<u8>,
    packed: Vec<u8>,
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

impl Packer {
    pub(super) fn new() -> io::Result<Self> {
        let level = libdeflater::CompressionLvl::new(LEVEL).map_err(|_| io::Error::other("gzip levels are 1 to 12"))?;
        Ok(Self {
            compressor: libdeflater::Compressor::new(level),
            decompressor: libdeflater::Decompressor::new(),
            plain: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// Packs a log into a new file beside it, with its owner, mode and time.
    pub(super) fn pack(&mut self, dir: &Dir, name: &[u8], ground: &Ground, to: &[u8]) -> io::Result<Packed> {
        let file = tree::open_file(Some(dir), name)?;
        let facts = file.facts()?;
        if facts.kind != rustix::fs::FileType::RegularFile || facts.links != 1 {
            return Err(io::Error::other("it is no longer a file of one name"));
        }
        let mut out = ground.make_file(to)?;
        let packed = self.members(&file, &facts, |bytes| out.write(bytes));
        let packed = packed.and_then(|packed| finish(&file, &out, packed));
        if packed.is_err() {
            // Its name says what it is: the next run removes what this one could not.
            let _ = ground.unlink(to);
        }
        packed
    }

    /// Whether packing a log gives just this copy: then a killed maint had come that far.
    pub(super) fn is_copy(&mut self, log: &TreeFile, copy: &TreeFile) -> io::Result<bool> {
        let (mut at, mut same) = (0, true);
        let mut theirs = Vec::new();
        let packed = self.members(log, &log.facts()?, |bytes| {
            theirs.resize(bytes.len(), 0);
            same = same && copy.read_at(&mut theirs, at)? == bytes.len() && theirs == bytes;
            at += bytes.len() as u64;
            Ok(())
        })?;
        Ok(same && packed.bytes == copy.facts()?.size)
    }

    fn members(
        &mut self,
        file: &TreeFile,
        facts: &Facts,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Packed> {
        let (mut hash, mut read, mut members, mut bytes) = (Xxh3::new(), 0, Vec::new(), 0);
        loop {
            let wanted = if read == 0 { usize::try_from(facts.size).unwrap_or(usize::MAX) } else { MEMBER_BYTES };
            // One byte more than it had, to see whether it grew.
            self.plain.resize(wanted.clamp(FIRST_BYTES - 1, MEMBER_BYTES - 1) + 1, 0);
            let length = file.read_at(&mut self.plain, read)?;
            if length == 0 && read > 0 {
                break;
            }
            let plain = &self.plain[..length];
            hash.update(plain);
            let bound = self.compressor.gzip_compress_bound(length);
            if self.packed.len() < bound {
                self.packed.resize(bound, 0);
            }
            let packed = self.compressor.gzip_compress(plain, &mut self.packed).map_err(other)?;
            write(&self.packed[..packed])?;
            members.push((length, packed));
            read += length as u64;
            bytes += packed as u64;
            if length < self.plain.len() {
                break;
            }
        }
        if read != facts.size {
            return Err(io::Error::other("it changed while it was read"));
        }
        Ok(Packed { facts: *facts, bytes, hash: hash.digest128(), members })
    }

    /// Reads a copy back, as gunzip would, and compares it with what was read of the log.
    pub(super) fn verify(&mut self, dir: &Dir, name: &[u8], packed: &Packed) -> io::Result<()> {
        let file = tree::open_file(Some(dir), name)?;
        if file.facts()?.size != packed.bytes {
            return Err(io::Error::other("the packed copy has another length than was written"));
        }
        let (mut hash, mut at, mut plain) = (Xxh3::new(), 0, 0);
        for (plain_bytes, packed_bytes) in &packed.members {
            if self.packed.len() < *packed_bytes {
                self.packed.resize(*packed_bytes, 0);
            }
            let member = &mut self.packed[..*packed_bytes];
            if file.read_at(member, at)? != member.len() {
                return Err(io::Error::other("the packed copy is cut off"));
            }
            self.plain.resize((*plain_bytes).max(self.plain.len()), 0);
            let length = self.decompressor.gzip_decompress(member, &mut self.plain).map_err(other)?;
            hash.update(&self.plain[..length]);
            plain += length as u64;
            at += *packed_bytes as u64;
        }
        if plain != packed.facts.size || hash.digest128() != packed.hash {
            return Err(io::Error::other("the packed copy holds something else than the log"));
        }
        Ok(())
    }
}

fn finish(file: &TreeFile, out: &Planted, packed: Packed) -> io::Result<Packed> {
    let facts = &packed.facts;
    let xattrs = file.xattrs()?;
    let owner = Some((facts.uid, facts.gid));
    let attributes = Attributes { owner, mode: facts.mode, mtime_ns: facts.mtime_ns, xattrs: &xattrs };
    // An attribute that this file system does not take is no reason to keep the log unpacked.
    out.set(&attributes)?;
    Ok(packed)
}
