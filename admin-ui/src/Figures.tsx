import { Paper, SimpleGrid, Text } from "@mantine/core"
import type { ReactNode } from "react"

export function Figures({ children }: { children: ReactNode }) {
  return <SimpleGrid cols={{ base: 2, sm: 4 }}>{children}</SimpleGrid>
}

export function Figure({ label, value }: { label: string; value: ReactNode }) {
  return (
    <Paper withBorder p="md">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text size="xl" fw={600}>
        {value}
      </Text>
    </Paper>
  )
}
