//! What is said before TLS begins.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::model::targets::StartTls;

/// No greeting has a longer line.
const LONGEST_LINE: usize = 4096;
/// No answer has more.
const MOST_LINES: usize = 100;
/// `SSLRequest` (PostgreSQL manual, 55.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Brings a connection to where TLS begins.
pub(super) async fn begin(stream: &mut TcpStream, protocol: StartTls) -> io::Result<()> {
    match protocol {
        StartTls::Smtp => {
            smtp_reply(stream, "220").await?;
            stream.write_all(b"EHLO maint.invalid\r\n").await?;
            let offered = smtp_reply(stream, "250").await?;
            if !offered.iter().any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS"))) {
                return Err(io::Error::other("it does not offer STARTTLS"));
            }
            stream.write_all(b"STARTTLS\r\n").await?;
            smtp_reply(stream, "220").await.map(drop)
        }
        StartTls::Imap => {
            expect(stream, "* ").await?;
            stream.write_all(b"a STARTTLS\r\n").await?;
            loop {
                let line = line(stream).await?;
                if line.starts_with("a ") {
                    return as_expected(&line, "a OK");
                }
            }
        }
        StartTls::Pop3 => {
            expect(stream, "+OK").await?;
            stream.write_all(b"STLS\r\n").await?;
            expect(stream, "+OK").await
        }
        StartTls::Postgres => {
            stream.write_all(&SSL_REQUEST).await?;
            match stream.read_u8().await? {
                b'S' => Ok(()),
                b'N' => Err(io::Error::other("it has no TLS: ssl is off")),
                _ => Err(io::Error::other("it does not answer as PostgreSQL does")),
            }
        }
    }
}

async fn expect(stream: &mut TcpStream, begins: &str) -> io::Result<()> {
    as_expected(&line(stream).await?, begins)
}

fn as_expected(line: &str, begins: &str) -> io::Result<()> {
    if line.starts_with(begins) { Ok(()) } else { Err(io::Error::other(format!("it said: {line}"))) }
}

/// A reply of several lines has a `-` after its code in all but the last.
async fn smtp_reply(stream: &mut TcpStream, code: &str) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    while lines.len() < MOST_LINES {
        let line = line(stream).await?;
        as_expected(&line, code)?;
        let last = line.as_bytes().get(3) != Some(&b'-');
        lines.push(line);
        if last {
            return Ok(lines);
        }
    }
    Err(io::Error::other(format!("its answer has more than {MOST_LINES} lines")))
}

/// Byte by byte: what comes after the last line belongs to TLS.
async fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_LINE {
        match stream.read_u8().await? {
            b'\n' => break,
            byte => bytes.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
