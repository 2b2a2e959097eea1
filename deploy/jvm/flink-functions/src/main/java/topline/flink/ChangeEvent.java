package topline.flink;

import java.util.Map;
import java.util.Set;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.types.Row;

/**
 * A record of a topic as the Debezium change event that it is: its operation, the new row's fields and those of the key, as
 * text, or the reason why it says nothing. A record never fails the job; a schema registry that does not answer does, once it
 * was waited for. `before` is not read.
 *
 * <p>Source: Debezium 3.7, "PostgreSQL connector: data change events".
 */
public final class ChangeEvent extends ScalarFunction {
    private static final long serialVersionUID = 1L;
    private static final Set<String> UPSERTS = Set.of("c", "u", "r");
    private static final String DELETE = "d";

    private transient EventFormat format;

    @Override
    public void open(FunctionContext context) {
        String url = context.getJobParameter("topline.registry.url", "");
        String username = context.getJobParameter("topline.registry.username", "");
        String password = context.getJobParameter("topline.registry.password", "");
        format = url.isEmpty() ? new JsonEvents() : new AvroEvents(new Registry(url, username, password));
    }

    /** `key` is read of a deletion only: NULL else. No value: the row is gone (a tombstone). */
    @DataTypeHint("ROW<op STRING, `row` MAP<STRING, STRING>, `key` MAP<STRING, STRING>, problem STRING>")
    public Row eval(byte[] key, byte[] value) {
        try {
            if (value == null) {
                return Row.of(DELETE, null, keyOf(key), null);
            }
            Event event = format.event(value);
            check(event);
            return event.op().equals(DELETE)
                    ? Row.of(DELETE, null, keyOf(key), null)
                    : Row.of(event.op(), event.row(), null, null);
        } catch (Problem problem) {
            return Row.of(null, null, null, problem.getMessage());
        }
    }

    private Map<String, String> keyOf(byte[] key) throws Problem {
        if (key == null) {
            throw new Problem("key: there is none");
        }
        try {
            return format.fields(key);
        } catch (Problem problem) {
            throw new Problem("key: " + problem.getMessage());
        }
    }

    private static void check(Event event) throws Problem {
        if (event.op() == null) {
            throw new Problem("no change event: it has no op");
        }
        boolean upsert = UPSERTS.contains(event.op());
        if (!upsert && !event.op().equals(DELETE)) {
            throw new Problem("op '" + event.op() + "' is none of c, u, r, d");
        }
        if (upsert && event.row() == null) {
            throw new Problem("op u or c without its row (after)");
        }
    }
}
