//! DECRYPT.md: how to open an encrypted copy with age alone, for a tired person who types.

use std::fmt::Write as _;

use crate::model::{copy::CopyList, manifest::Manifest};

/// Writing to a String cannot fail, so results of `write!` are dropped.
pub(super) fn render(list: &CopyList, manifest: &Manifest) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "# How to open this copy of `{}/{}` of the stack {}\n\n\
         Every file that ends in .age is encrypted by itself, with age (https://age-encryption.org), to:\n\n",
        list.series, list.set, list.stack
    );
    for key in &list.encrypted_to {
        let _ = writeln!(text, "- `{key}`");
    }
    let _ = write!(
        text,
        "\nOne of the secret keys that belong to them opens it; `age-keygen -y key.txt` shows to which one a key belongs.\n\
         maint is not needed. Type the commands in this directory.\n\n\
         ## 1. Is the copy as it was sent?\n\n\
         ```\nsha256sum -c SHA256SUMS\n```\n\n\
         ## 2. Open it into a directory of its own\n\n\
         ```\nmkdir -m 700 ../{set}-open\n\
         for f in *.age; do age -d -i /path/to/key.txt \"$f\" > \"../{set}-open/${{f%.age}}\" || break; done\n\
         cp manifest.json* RESTORE.md ../{set}-open/\n\
         cd ../{set}-open && sha256sum -c SHA256SUMS\n```\n\n\
         What is there now is the set as {} made it. RESTORE.md goes on from here.\n",
        manifest.host.name,
        set = list.set,
    );
    text
}
