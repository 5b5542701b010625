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

#[cfg(test)]
mod tests {
    use super::*;

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
