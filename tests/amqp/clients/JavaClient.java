// RabbitMQ's Java client: what a program does with it. Usage: JavaClient PORT
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class JavaClient {
  static void check(Object expected, Object found) {
    if (!expected.equals(found)) throw new AssertionError("expected " + expected + ", found " + found);
  }

  public static void main(String[] arguments) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost("127.0.0.1");
    factory.setPort(Integer.parseInt(arguments[0]));
    factory.setAutomaticRecoveryEnabled(false);
    Connection connection = factory.newConnection();
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    channel.queueDeclare("java", true, false, false, Map.of("x-message-ttl", 60000));

    AMQP.BasicProperties properties = MessageProperties.PERSISTENT_TEXT_PLAIN.builder()
        .headers(Map.of("n", 1, "long", 1L << 40, "yes", true)).correlationId("c").build();
    channel.basicPublish("", "java", true, properties, "hello".getBytes());
    channel.waitForConfirmsOrDie(10000);
    GetResponse response = channel.basicGet("java", false);
    check("hello", new String(response.getBody()));
    check(Map.of("n", 1, "long", 1L << 40, "yes", true), response.getProps().getHeaders());
    channel.basicNack(response.getEnvelope().getDeliveryTag(), false, true);
    response = channel.basicGet("java", true);
    check(true, response.getEnvelope().isRedeliver());

    for (int number = 0; number < 1000; ++number) {
      channel.basicPublish("", "java", properties, Integer.toString(number).getBytes());
    }
    channel.waitForConfirmsOrDie(10000);
    channel.basicQos(50);
    Set<String> bodies = new ConcurrentSkipListSet<>();
    BlockingQueue<String> got = new LinkedBlockingQueue<>();
    String tag = channel.basicConsume("java", false, new DefaultConsumer(channel) {
      @Override
      public void handleDelivery(String consumer, Envelope envelope, AMQP.BasicProperties found, byte[] body)
          throws java.io.IOException {
        getChannel().basicAck(envelope.getDeliveryTag(), false);
        bodies.add(new String(body));
        got.add("one");
      }
    });
    for (int number = 0; number < 1000; ++number) {
      if (got.poll(10, TimeUnit.SECONDS) == null) throw new AssertionError("message " + number + " does not come");
    }
    check(1000, bodies.size());
    channel.basicCancel(tag);

    channel.exchangeDeclare("java-headers", "headers", false, true, null);
    String queue = channel.queueDeclare().getQueue();
    channel.queueBind(queue, "java-headers", "", Map.of("x-match", "all", "kind", "pdf", "pages", 3));
    channel.basicPublish("java-headers", "", new AMQP.BasicProperties.Builder()
        .headers(Map.of("kind", "pdf", "pages", 3)).build(), "matched".getBytes());
    channel.basicPublish("java-headers", "", new AMQP.BasicProperties.Builder()
        .headers(Map.of("kind", "pdf", "pages", 4)).build(), "other".getBytes());
    channel.waitForConfirmsOrDie(10000);
    check("matched", new String(channel.basicGet(queue, true).getBody()));
    check(true, channel.basicGet(queue, true) == null);

    Channel doomed = connection.createChannel();
    try {
      doomed.queueDeclare("java", true, false, false, null);
      throw new AssertionError("it was not refused");
    } catch (java.io.IOException closed) {
      ShutdownSignalException reason = (ShutdownSignalException) closed.getCause();
      check(406, ((AMQP.Channel.Close) reason.getReason()).getReplyCode());
    }
    channel.queueDelete("java");
    connection.close();
    System.out.println("java: fine");
  }
}
