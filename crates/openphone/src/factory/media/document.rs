//! What is no picture and no sound: a PDF of one page, somebody's card, and the file by which virus scanners are tested.

use rand::{RngExt, rngs::StdRng};

pub(super) fn pdf(rng: &mut StdRng) -> Vec<u8> {
    let number = rng.random_range(1_000..10_000_000);
    let page = format!("BT /F1 24 Tf 72 720 Td (Quote {number}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{page}\nendstream", page.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = String::new();
    for (at, object) in objects.iter().enumerate() {
        places += &format!("{:010} 00000 n \n", file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let (table, count) = (file.len(), objects.len() + 1);
    file.extend(format!("xref\n0 {count}\n0000000000 65535 f \n{places}").bytes());
    file.extend(format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").bytes());
    file
}

pub(super) fn card(rng: &mut StdRng) -> Vec<u8> {
    let (line, id) = (rng.random_range(100..200), rng.random::<u64>());
    format!(
        "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Smith;Ana;;;\r\nFN:Ana Smith\r\nTEL;TYPE=CELL:+1212555{line:04}\r\n\
         UID:{id:016x}\r\nEND:VCARD\r\n"
    )
    .into_bytes()
}

/// In pieces, so that no scanner takes this program for it.
pub(super) fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"]
        .concat()
        .into_bytes()
}
