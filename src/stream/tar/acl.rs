//! POSIX ACLs: from the kernel's binary form (linux/posix_acl_xattr.h) to the text that tar archives carry (acl(5)).

use std::fmt::Write;

const VERSION: u32 = 2;

/// An extended attribute that should be an ACL and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the POSIX ACL has an unknown form")]
pub struct AclError;

/// The text form with numeric ids, entries separated by commas: `user::rw-,user:1000:r--,group::r--,mask::r--,other::---`.
///
/// # Errors
/// When the bytes are not an ACL of version 2.
pub fn text_of_acl(binary: &[u8]) -> Result<String, AclError> {
    let (version, entries) = binary.split_first_chunk::<4>().ok_or(AclError)?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
        return Err(AclError);
    }
    let mut text = String::with_capacity(entries.len() * 16);
    for [tag_low, tag_high, perm_low, perm_high, id @ ..] in entries {
        let who = match u16::from_le_bytes([*tag_low, *tag_high]) {
            0x01 | 0x02 => "user",
            0x04 | 0x08 => "group",
            0x10 => "mask",
            0x20 => "other",
            _ => return Err(AclError),
        };
        let named = matches!(tag_low, 0x02 | 0x08);
        let permissions = u16::from_le_bytes([*perm_low, *perm_high]);
        if permissions > 7 {
            return Err(AclError);
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(who);
        text.push(':');
        if named {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}", u32::from_le_bytes(*id));
        }
        text.push(':');
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            text.push(if permissions & bit == 0 { '-' } else { letter });
        }
    }
    Ok(text)
}

/// The kernel's form of an ACL text as archives carry it: entries separated by commas or newlines, ids in numbers.
///
/// # Errors
/// When the text is no ACL, or names a user or group by name: only the host that it comes from knows who that is.
pub fn acl_of_text(text: &[u8]) -> Result<Vec<u8>, AclError> {
    let text = std::str::from_utf8(text).map_err(|_| AclError)?;
    let mut entries = Vec::new();
    for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#')) {
        // getfacl(1) adds a comment, star(1) a fourth field with the id.
        let entry = entry.split(['\t', '#']).next().unwrap_or(entry);
        let mut fields = entry.split(':');
        let (Some(who), Some(id), Some(bits)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(AclError);
        };
        let (owner, named) = match who {
            "user" | "u" => (0x01, 0x02),
            "group" | "g" => (0x04, 0x08),
            "mask" | "m" => (0x10, 0x10),
            "other" | "o" => (0x20, 0x20),
            _ => return Err(AclError),
        };
        let id = match (id, fields.next()) {
            ("", _) => None,
            (_, Some(number)) => Some(number.parse::<u32>().map_err(|_| AclError)?),
            (number, None) => Some(number.parse::<u32>().map_err(|_| AclError)?),
        };
        let tag: u16 = if id.is_some() { named } else { owner };
        entries.push((tag, id.unwrap_or(u32::MAX), permissions(bits)?));
    }
    if entries.is_empty() {
        return Err(AclError);
    }
    // The kernel wants them in this order (acl_valid(3)).
    entries.sort_unstable();
    let mut binary = VERSION.to_le_bytes().to_vec();
    for (tag, id, bits) in entries {
        binary.extend_from_slice(&tag.to_le_bytes());
        binary.extend_from_slice(&bits.to_le_bytes());
        binary.extend_from_slice(&id.to_le_bytes());
    }
    Ok(binary)
}

fn permissions(text: &str) -> Result<u16, AclError> {
    let mut bits = 0;
    for letter in text.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return Err(AclError),
        };
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_the_acl_that_it_was() {
        let text = "user::rw-,user:3000000:r--,group::r-x,group:12:-w-,mask::rwx,other::---";
        assert_eq!(text_of_acl(&acl_of_text(text.as_bytes()).unwrap()).unwrap(), text);
        let lines = acl_of_text(b"other::--x\nuser::r--\ngroup::-w-\t#effective:---\nuser:alice:rwx:7\n").unwrap();
        assert_eq!(text_of_acl(&lines).unwrap(), "user::r--,user:7:rwx,group::-w-,other::--x");
        for bad in ["", "user", "user:alice:rwx", "king::rwx", "user::rq-", "user:-1:r"] {
            assert_eq!(acl_of_text(bad.as_bytes()), Err(AclError), "{bad}");
        }
    }

    fn entry(tag: u16, permissions: u16, id: u32) -> Vec<u8> {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    }

    #[test]
    fn an_acl_becomes_the_text_that_setfacl_reads() {
        let acl = [
            2u32.to_le_bytes().to_vec(),
            entry(0x01, 6, u32::MAX),
            entry(0x02, 4, 3_000_000),
            entry(0x04, 4, u32::MAX),
            entry(0x10, 4, u32::MAX),
            entry(0x20, 0, u32::MAX),
        ]
        .concat();
        assert_eq!(text_of_acl(&acl).unwrap(), "user::rw-,user:3000000:r--,group::r--,mask::r--,other::---");
        assert!(text_of_acl(&acl[..7]).is_err());
        assert!(text_of_acl(b"\x01\0\0\0").is_err());
    }
}
