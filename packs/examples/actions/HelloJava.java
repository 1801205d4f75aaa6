// Greets from Java. Parameters: one KEY='VALUE' each on standard input (the format dotenv).

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class HelloJava {
    private static final Pattern NAME = Pattern.compile("^name='((?:[^']|'\\\\'')*)'$", Pattern.MULTILINE);

    public static void main(String[] arguments) throws IOException {
        String document = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        Matcher found = NAME.matcher(document);
        String name = found.find() ? found.group(1).replace("'\\''", "'") : "World";
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        out.printf("{\"greeting\": %s, \"language\": \"java\", \"version\": %s}%n",
                json("Hello, " + name + "!"), json(System.getProperty("java.version")));
    }

    private static String json(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
