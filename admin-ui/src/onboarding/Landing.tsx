import { Button, Container, Group, List, Stack, Text, Title } from "@mantine/core"

export function Landing() {
  return (
    <Container component="main" size="sm" py={{ base: "xl", sm: 80 }}>
      <Stack gap="lg">
        <Text fw={700}>Kestrel</Text>
        <Title order={1}>The receptionist that always answers</Title>
        <Text size="lg">
          Kestrel gives your business a phone number of its own. An AI receptionist picks up every call, books
          appointments, takes messages, and puts a caller through to a person when that is better.
        </Text>
        <List>
          <List.Item>Every call on your dashboard, with who rang and what they wanted</List.Item>
          <List.Item>Free for 14 days, without a credit card</List.Item>
          <List.Item>Live within 48 hours</List.Item>
        </List>
        <Group>
          <Button component="a" href="/onboarding" size="md">
            Get started
          </Button>
          <Button component="a" href="/docs" size="md" variant="default">
            API reference
          </Button>
        </Group>
      </Stack>
    </Container>
  )
}
