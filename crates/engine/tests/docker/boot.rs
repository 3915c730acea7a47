//! Apps booted on what came back: on a network that leads nowhere, and nothing is left.

use std::{sync::Arc, time::Duration};

use model::{DrillBoot, DrillReport, DrillState, Run, RunState};

use crate::{
    drills::{containers, drilled, killed},
    host::{Host, Made},
    images::Image,
    postgres::{SUM, config, sql},
    world::{World, source},
};

const SECRET: &str = "canary-of-the-app";
/// Reached over its network with a password, and by its own socket without one.
const SERVE: &str = "set -e; mkdir -p /data /run/postgresql; \
                     chown postgres: /data /run/postgresql; \
                     runuser -u postgres -- initdb -A trust -E UTF8 -D /data/main; \
                     echo 'host all all all scram-sha-256' >> /data/main/pg_hba.conf; \
                     exec setpriv --reuid postgres --regid postgres --clear-groups \
                     postgres -D /data/main -c listen_addresses='*' \
                     -c unix_socket_directories=/run/postgresql";
/// Well where its row is in its database, its file in its volume, and the real database out of
/// reach. What it writes has to stay where it is tried.
const APP: &str = r#"use IO::Socket::INET;
    my $own = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
    while (my $it = $own->accept) {
        my $asked = <$it>;
        while (<$it>) { last if /^\r?$/ }
        my $rows = `psql -XAtc "SELECT count(*) FROM orders"`;
        my $word = `cat /files/word`;
        system("echo scratched > /files/word; psql -Xc 'DELETE FROM orders'") if $asked =~ /well/;
        my $real = IO::Socket::INET->new(PeerAddr => $ENV{REAL}, PeerPort => 5432, Timeout => 3);
        my $status = $rows != 3000 ? 500 : $word ne "kept\n" ? 501 : $real ? 502 : 204;
        print $it "HTTP/1.1 $status X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        close $it;
    }"#;

/// An app that runs: its database, itself, and what it keeps.
struct Shop<'a> {
    host: &'a Host,
    database: Made<'a>,
    app: Made<'a>,
    volume: Made<'a>,
    // Removed after those that are in it.
    _network: Made<'a>,
}

impl<'a> Shop<'a> {
    fn open(host: &'a Host) -> Self {
        let network = host.network("shop");
        let volume = host.volume("shop");
        let on = ["--network", &network.name];
        let named = [&on[..], &["--network-alias", "db"]].concat();
        let serve = ["bash", "-c", SERVE];
        let (database, address) = host.networked("shop-db", &named, Image::Postgres15, &serve);
        let ready = ["exec", &database.name, "psql", "-hdb", "-Upostgres", "-w", "-c", "SELECT 1"];
        for _ in 0..300 {
            // It wants a password by then.
            let told = host.try_docker(&ready);
            if String::from_utf8_lossy(&told.stderr).contains("password") {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let role = format!("CREATE ROLE shop LOGIN PASSWORD '{SECRET}'");
        sql(host, &database, "postgres", &role);
        sql(host, &database, "postgres", "CREATE DATABASE shop OWNER shop");
        let fill = "SET ROLE shop; CREATE TABLE public.orders AS \
                    SELECT id, md5(id::text) AS what FROM generate_series(1, 3000) id";
        sql(host, &database, "postgres", "ALTER DATABASE shop OWNER TO shop");
        sql(host, &database, "shop", "GRANT ALL ON SCHEMA public TO shop");
        sql(host, &database, "shop", fill);
        let (mount, real) = (format!("{}:/files", volume.name), format!("REAL={address}"));
        let password = format!("PGPASSWORD={SECRET}");
        let env = ["PGHOST=db", "PGUSER=shop", "PGDATABASE=shop", &password, &real];
        let env = env.iter().flat_map(|one| ["--env", one]);
        let mounts = ["--volume", mount.as_str(), "--volume", "/etc:/host:ro"];
        let options: Vec<_> = on.into_iter().chain(mounts).chain(env).collect();
        let (app, _) = host.networked("shop", &options, Image::Postgres15, &["perl", "-e", APP]);
        host.docker(&["exec", &app.name, "sh", "-c", "echo kept > /files/word"]);
        // Who is where it belongs does reach it.
        let reach = "use IO::Socket::INET; exit !IO::Socket::INET->new(PeerAddr => $ENV{REAL}, \
                     PeerPort => 5432)";
        host.docker(&["exec", &app.name, "perl", "-e", reach]);
        Self { host, database, app, volume, _network: network }
    }

    async fn world(&self) -> World {
        let database = [("container", self.database.name.as_str()), ("database", "shop")];
        let files = [("volume", self.volume.name.as_str())];
        let sources =
            vec![source("db", "postgres", &database, &[]), source("files", "volume", &files, &[])];
        World::reading(sources, config(self.host)).await
    }

    fn plan(&self, path: &str, timeout_secs: u64) -> DrillBoot {
        DrillBoot {
            container: self.app.name.clone(),
            path: Some(path.to_owned()),
            port: Some(8080),
            timeout_secs: Some(timeout_secs),
            user: Some("shop".to_owned()),
            ..DrillBoot::default()
        }
    }

    /// What a run has made and is still there.
    fn left(&self, run: &Run) -> String {
        let mine = format!("label=io.backup-orchestrator.helper={}", run.id);
        let networks = ["network", "ls", "--filter", &mine, "--format", "{{.Name}}"];
        let volumes = ["volume", "ls", "--filter", "label=io.backup-orchestrator.restored"];
        let volumes = self.host.docker(&[&volumes[..], &["--format", "{{.Labels}}"]].concat());
        let tag = run.id.to_string().to_ascii_lowercase();
        let volumes: Vec<_> = volumes.lines().filter(|line| line.contains(&tag)).collect();
        let containers = containers(self.host, run);
        let networks = self.host.docker(&networks);
        format!("{containers}\n{networks}\n{}", volumes.join("\n")).trim().to_owned()
    }
}

fn boot(report: &DrillReport) -> (DrillState, String) {
    let check = &report.boot.as_ref().expect("it was booted").checks[0];
    (check.state, check.sentence.to_string())
}

pub(crate) async fn an_app_answers_on_what_came_back(host: Arc<Host>) {
    let shop = Shop::open(&host);
    let world = shop.world().await;
    let plan = shop.plan("/well", 60);
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    let wanted = sql(&host, &shop.database, "shop", SUM);
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Succeeded, "{:?} {report:?}", run.failure);
    let (state, told) = boot(&report);
    assert_eq!(state, DrillState::Passed, "{report:?}");
    assert!(told.starts_with("the app answered /well with 204 after"), "{told}");
    let booted = report.boot.as_ref().unwrap();
    assert!(booted.scratch.contains("on a network that leads nowhere"), "{booted:?}");
    let without = &booted.checks[1];
    assert_eq!(&*without.sentence, "not there while the app was tried: /host");
    assert!(booted.took_secs > 0.1 && report.took_secs > booted.took_secs);
    // It wrote where it was tried, and nowhere else.
    assert_eq!(sql(&host, &shop.database, "shop", SUM), wanted);
    assert_eq!(host.docker(&["exec", &shop.app.name, "cat", "/files/word"]), "kept");
    assert_eq!(shop.left(&run), "");
    let told = world.everything_told().await + &serde_json::to_string(&report).unwrap();
    assert!(!told.contains(SECRET), "{told}");
}

/// What is there can be restored, and the app is not well on it.
pub(crate) async fn an_app_that_does_not_answer_is_no_proof(host: Arc<Host>) {
    let shop = Shop::open(&host);
    let world = shop.world().await;
    let plan = shop.plan("/", 3);
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    sql(&host, &shop.database, "shop", "DELETE FROM orders WHERE id > 1");
    let snapshot = world.good_snapshot().await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed, "{report:?}");
    assert!(report.items.iter().all(model::DrillItem::is_proof), "{report:?}");
    let (state, told) = boot(&report);
    assert_eq!(state, DrillState::Failed);
    assert!(told.ends_with("within 3 s: the answer was 500"), "{told}");
    assert_eq!(shop.left(&run), "");

    // Nor is one whose container says nothing of its health, or that is gone.
    let plan = DrillBoot { path: None, ..shop.plan("/", 3) };
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert!(boot(&report).1.starts_with("nothing tells whether the app is well"), "{report:?}");
    assert_eq!(shop.left(&run), "");
    let plan = DrillBoot { container: "nobody-there".to_owned(), ..shop.plan("/", 3) };
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed, "{report:?}");
    assert!(boot(&report).1.contains("nobody-there"), "{report:?}");

    // A snapshot that does not come back boots nothing.
    let plan = shop.plan("/", 3);
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    world.damage(&snapshot);
    let (run, report) = drilled(&world, &snapshot).await;
    assert_eq!(run.state, RunState::Failed, "{report:?}");
    assert!(boot(&report).1.starts_with("the app was not booted: "), "{report:?}");
    assert_eq!(shop.left(&run), "");
}

pub(crate) async fn what_a_killed_boot_began_is_removed(host: Arc<Host>) {
    let shop = Shop::open(&host);
    let world = shop.world().await;
    let plan = DrillBoot { status: Some(299), ..shop.plan("/", 600) };
    world.change_app(|app| app.drill.boot = Some(plan)).await;
    let snapshot = world.good_snapshot().await;
    let is_far = |made: &str| made.contains("-app-") && made.lines().count() >= 4;
    killed(&host, &world, &snapshot, is_far, |run| shop.left(run)).await;
    assert_eq!(host.docker(&["exec", &shop.app.name, "cat", "/files/word"]), "kept");
}
