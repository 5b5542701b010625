//! `compression = "zstd"`, `{ codec = "zstd", level = 6 }`: how a capturing step packs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::Problem;
use crate::{adapters::host, model::contents::Codec, stream::frames::Packing};

/// How artifacts are packed: a codec's name, or a table with `codec` and `level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Repr")]
#[schemars(with = "Repr")]
pub struct Compression {
    codec: Codec,
    level: Option<i32>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected \"zstd\", \"gzip\" or { codec = \"zstd\", level = 6 }")]
enum Repr {
    /// The codec at its default level.
    Codec(Codec),
    /// Codec and level.
    Full(Full),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    /// `zstd` or `gzip`.
    codec: Codec,
    /// zstd: 1 to 19; gzip: 1 to 12.
    level: i32,
}

impl From<Repr> for Compression {
    fn from(repr: Repr) -> Self {
        match repr {
            Repr::Codec(codec) => Self { codec, level: None },
            Repr::Full(full) => Self { codec: full.codec, level: Some(full.level) },
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self { codec: Codec::Zstd, level: None }
    }
}

/// Where the stream comes from decides where it is packed and at which level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamSource {
    /// A database server that may be on this host.
    Server,
    /// Files.
    Files,
}

impl Compression {
    /// The codec.
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// What is wrong with the level.
    pub fn problems(self) -> Vec<Problem> {
        let highest = match self.codec {
            Codec::Zstd => 19,
            Codec::Gzip => 12,
        };
        match self.level {
            Some(level) if !(1..=highest).contains(&level) => {
                vec![Problem { key: "compression", message: format!("level {level}: expected 1 to {highest}") }]
            }
            _ => Vec::new(),
        }
    }

    /// Level and workers for this host; docs/performance.md has the measurements behind the defaults.
    pub fn packing(self, source: StreamSource) -> Packing {
        let cores = host::cores();
        let default_level = match (self.codec, source) {
            (Codec::Zstd, StreamSource::Server) => 2,
            (Codec::Zstd, StreamSource::Files) => 3,
            (Codec::Gzip, StreamSource::Server) => 4,
            (Codec::Gzip, StreamSource::Files) => 5,
        };
        let workers = match (self.codec, source) {
            // The server, pg_dump and maint already keep three cores busy.
            (Codec::Zstd, StreamSource::Server) => {
                if cores < 4 {
                    0
                } else {
                    cores - 2
                }
            }
            _ => cores,
        };
        Packing { codec: self.codec, level: self.level.unwrap_or(default_level), workers }
    }
}
