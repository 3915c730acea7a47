//! Receives WAL of a server on this machine into a folder, as `pg_receivewal` does; for comparing
//! how fast that goes: `receive PORT START-LSN END-LSN FOLDER`.

use std::{fs::File, io::Write, path::PathBuf, time::Instant};

use replication::{
    Connection, Error, Event, Host, Lsn, Piece, Position, Receiver, ReceiverOptions, Settings, Tls,
};
use tokio::{sync::mpsc, task::block_in_place};

async fn keep(folder: PathBuf, mut piece: Piece) -> std::io::Result<Lsn> {
    let mut file = block_in_place(|| File::create(folder.join(&piece.name)))?;
    while let Some(bytes) = piece.filled.body.next().await? {
        block_in_place(|| file.write_all(&bytes))?;
    }
    block_in_place(|| file.sync_all())?;
    piece.receipt.durable();
    Ok(piece.filled.end)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let told: Vec<String> = std::env::args().skip(1).collect();
    let [port, start, end, folder] = &told[..] else { return Err("PORT START END FOLDER".into()) };
    let (end, folder): (Lsn, PathBuf) = (end.parse()?, folder.into());
    let mut settings = Settings::new(Host::Tcp("127.0.0.1".into(), port.parse()?), "postgres");
    settings.tls = Tls::Disable;
    let mut open = Connection::open(&settings).await?;
    let info = open.identify().await?;
    open.close().await;
    let at = start.parse()?;
    let start = Some(Position { system: info.system, timeline: info.timeline, at });
    let options = ReceiverOptions { start, prefix_every: None, ..ReceiverOptions::default() };
    let (events, mut taken) = mpsc::channel(2);
    let mut receiver = Receiver::new(options, events);
    let run = tokio::spawn(async move { receiver.run(&settings).await });
    let begun = Instant::now();
    let mut reached = at;
    while reached < end {
        match taken.recv().await.ok_or("the receiver has ended")? {
            Event::Segment(piece) => reached = keep(folder.clone(), piece).await?,
            Event::History { receipt, .. } => receipt.durable(),
            _ => {}
        }
    }
    drop(taken);
    let ended: Error = run.await?;
    let (bytes, seconds) = (reached.since(at) as f64, begun.elapsed().as_secs_f64());
    println!("{:.0} MiB in {seconds:.2} s; {ended}", bytes / f64::from(1 << 20));
    Ok(())
}
