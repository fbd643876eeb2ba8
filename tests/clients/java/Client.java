import com.launchdarkly.eventsource.ErrorStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.FaultEvent;
import com.launchdarkly.eventsource.MessageEvent;
import com.launchdarkly.eventsource.StreamEvent;
import java.net.URI;

/** com.launchdarkly:okhttp-eventsource, which goes on after errors only if told to. Usage: java Client URL */
final class Client {
    public static void main(String[] arguments) {
        var builder = new EventSource.Builder(URI.create(arguments[0])).errorStrategy(ErrorStrategy.alwaysContinue());
        try (EventSource source = builder.build()) {
            for (StreamEvent event : source.anyEvents()) {
                if (event instanceof MessageEvent message) {
                    show(message);
                } else if (event instanceof FaultEvent fault) {
                    System.err.println(fault);
                }
            }
        }
    }

    private static void show(MessageEvent message) {
        System.out.println("{\"id\":" + quoted(message.getLastEventId()) + ",\"type\":" + quoted(message.getEventName())
                + ",\"data\":" + quoted(message.getData()) + "}");
    }

    private static String quoted(String text) {
        var quoted = new StringBuilder("\"");
        (text == null ? "" : text).chars().forEach(c -> {
            if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
                quoted.append((char) c);
            } else {
                quoted.append(String.format("\\u%04x", c));
            }
        });
        return quoted.append('"').toString();
    }
}
