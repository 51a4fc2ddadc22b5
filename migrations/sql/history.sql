-- For how many seconds a server was up, degraded and down: monitor/domain/timeline.py says how a timeline is written.
-- Where one follows another, the sums are those of both.
CREATE OR REPLACE FUNCTION fleet_timeline_seconds(timeline bytea) RETURNS float8[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    ticks bigint[] := ARRAY[0, 0, 0];
    number bigint := 0;
    factor bigint := 1;
    byte integer;
    -- 1 to 3; NULL before a run, whose first number has the status in its lowest two bits.
    status integer;
BEGIN
    FOR place IN 0 .. length(timeline) - 1 LOOP
        byte := get_byte(timeline, place);
        number := number + (byte & 127) * factor;
        IF byte > 127 THEN
            factor := factor * 128;
            CONTINUE;
        END IF;
        IF status IS NULL THEN
            status := (number & 3) + 1;
        ELSE
            ticks[status] := ticks[status] + number;
            status := NULL;
        END IF;
        number := 0;
        factor := 1;
    END LOOP;
    RETURN ARRAY[ticks[1] / 10.0, ticks[2] / 10.0, ticks[3] / 10.0];
END $$
-- next
-- The percentiles 50, 95 and 99 in milliseconds, each at most 5 % off: monitor/domain/latency.py says how a histogram is
-- written, and which latency a bucket stands for. Where one follows another, they are those of both.
CREATE OR REPLACE FUNCTION fleet_latency_percentiles(latencies bytea) RETURNS float8[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    counts bigint[];
    total bigint := 0;
    seen bigint := 0;
    number bigint := 0;
    factor bigint := 1;
    byte integer;
    bucket integer;
    lowest integer := 255;
    highest integer := 1;
    found float8[] := '{}';
    wanted float8[];
BEGIN
    FOR place IN 0 .. length(latencies) - 1 LOOP
        byte := get_byte(latencies, place);
        IF bucket IS NULL THEN
            bucket := byte;
            CONTINUE;
        END IF;
        number := number + (byte & 127) * factor;
        IF byte > 127 THEN
            factor := factor * 128;
            CONTINUE;
        END IF;
        counts[bucket] := coalesce(counts[bucket], 0) + number;
        total := total + number;
        lowest := least(lowest, bucket);
        highest := greatest(highest, bucket);
        bucket := NULL;
        number := 0;
        factor := 1;
    END LOOP;
    wanted := ARRAY[ceil(0.5::float8 * total), ceil(0.95::float8 * total), ceil(0.99::float8 * total)];
    FOR each IN lowest .. highest LOOP
        seen := seen + coalesce(counts[each], 0);
        WHILE cardinality(found) < 3 AND seen > 0 AND seen >= wanted[cardinality(found) + 1] LOOP
            found := found || round((0.05 * 1.1::float8 ^ (each - 1.5))::numeric, 3)::float8;
        END LOOP;
        EXIT WHEN cardinality(found) = 3;
    END LOOP;
    RETURN found;
END $$
-- next
-- History for psql and Grafana: a row for each five minutes of the last hours, for each hour of the last two days, and for
-- each day before. The five minutes that are not over are not in it.
CREATE OR REPLACE VIEW fleet_server_history AS
SELECT server_id, start_at AS "from", start_at + make_interval(secs => span) AS "to",
    seconds[1] AS up_seconds, seconds[2] AS degraded_seconds, seconds[3] AS down_seconds,
    greatest(0, round((span - seconds[1] - seconds[2] - seconds[3])::numeric, 1))::float8 AS unknown_seconds,
    checks, percentiles[1] AS p50_ms, percentiles[2] AS p95_ms, percentiles[3] AS p99_ms
FROM (
    -- Where one monitor took over from another, each has written the part that was its own.
    SELECT server_id, start_at, 300 AS span, sum(good + bad) AS checks,
        string_agg(timeline, '') AS timeline, string_agg(latencies, '') AS latencies
    FROM server_history_recent GROUP BY server_id, start_at
    UNION ALL
    SELECT server_id, start_at, span, good + bad, timeline, latencies FROM server_history
) AS page,
-- OFFSET keeps PostgreSQL from unpacking once for each column.
LATERAL (SELECT fleet_timeline_seconds(timeline) AS seconds, fleet_latency_percentiles(latencies) AS percentiles
         OFFSET 0) AS unpacked
